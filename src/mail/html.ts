// Renders a mail as HTML that mail programs carry: tables, styles on the elements, no script, no image, nothing loaded.
// Invariant: every text passes `escapeHtml`; texts that people chose are isolated in direction besides.
import type { Block, Card, MailDocument, Sentence } from './document.ts'
import { escapeHtml, lineText, quoteLines } from './safe-text.ts'

const font = "-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"
const ink = '#1f2933'
const muted = '#5f6c7b'
const line = '#e2e7ec'
const brand = '#0b6e6e'
/** Inherited by every text: a long word breaks, where the table would otherwise become wider than the screen. */
const breakable = 'word-break:break-word;overflow-wrap:anywhere'

const tones: Record<Card['tone'], { edge: string; label: string }> = {
  calm: { edge: '#0b6e6e', label: '#0b6e6e' },
  good: { edge: '#2f855a', label: '#276749' },
  urgent: { edge: '#c53030', label: '#b42318' },
}

const theirs = (text: string): string => `<bdi>${escapeHtml(lineText(text))}</bdi>`

const htmlSentence = (sentence: Sentence): string =>
  sentence
    .map((part) =>
      typeof part === 'string'
        ? escapeHtml(part)
        : `<strong style="font-weight:600;color:${ink}">${theirs(part.theirs)}</strong>`,
    )
    .join('')

const table = (attributes: string, rows: string): string =>
  `<table role="presentation" cellpadding="0" cellspacing="0" border="0" ${attributes}>${rows}</table>`

const row = (padding: string, content: string): string =>
  `<tr><td style="padding:${padding};font-family:${font};${breakable}">${content}</td></tr>`

const quoteHtml = (quote: string): string =>
  `<div dir="auto" style="margin:10px 0 0;padding:0 0 0 12px;border-left:3px solid ${line};color:${muted};font-size:14px;line-height:21px">${quoteLines(
    quote,
  )
    .map(escapeHtml)
    .join('<br>')}</div>`

const cardHtml = ({ label, tone, sentence, quote, detail }: Card): string => {
  const colors = tones[tone]
  const content = [
    label === null
      ? ''
      : `<div style="margin-bottom:4px;font-size:12px;line-height:16px;font-weight:600;letter-spacing:.3px;color:${colors.label}">${escapeHtml(label)}</div>`,
    `<div style="font-size:16px;line-height:23px;color:${ink}">${htmlSentence(sentence)}</div>`,
    quote === null ? '' : quoteHtml(quote),
    detail.length === 0
      ? ''
      : `<div style="margin-top:8px;font-size:13px;line-height:18px;color:${muted}">${detail.map(theirs).join(' &middot; ')}</div>`,
  ].join('')
  return row(
    '0 0 12px',
    table(
      `width="100%" style="table-layout:fixed;border:1px solid ${line};border-left:4px solid ${colors.edge};border-radius:6px;border-collapse:separate"`,
      row('14px 16px', content),
    ),
  )
}

const buttonHtml = (label: string, url: string): string =>
  table(
    '',
    `<tr><td bgcolor="${brand}" style="border-radius:6px;font-family:${font}"><a href="${escapeHtml(url)}" target="_blank" style="display:inline-block;padding:12px 22px;font-size:16px;line-height:20px;font-weight:600;color:#ffffff;text-decoration:none;border-radius:6px">${escapeHtml(label)}</a></td></tr>`,
  )

/** Where the button does not work, the address does. */
const addressHtml = (url: string): string =>
  `<div style="margin-top:14px;font-size:13px;line-height:19px;color:${muted}">Or open this address:<br><a href="${escapeHtml(url)}" style="color:${brand};word-break:break-all">${escapeHtml(url)}</a></div>`

const blockHtml = (block: Block): string => {
  if (block.kind === 'button')
    return row('4px 0 20px', buttonHtml(block.label, block.url) + addressHtml(block.url))
  if (block.kind === 'cards') return block.cards.map(cardHtml).join('')
  const [padding, style] =
    block.kind === 'text'
      ? ['0 0 16px', `font-size:16px;line-height:24px;color:${ink}`]
      : ['0 0 12px', `font-size:14px;line-height:21px;color:${muted}`]
  return row(padding, `<div style="${style}">${htmlSentence(block.sentence)}</div>`)
}

/** Keeps the text after the preview out of the list of mails. */
const previewHtml = (preview: Sentence): string =>
  `<div style="display:none;max-height:0;overflow:hidden;mso-hide:all">${htmlSentence(preview)}${'&#847;&zwnj;&nbsp;'.repeat(40)}</div>`

export const renderHtml = ({ preview, title, blocks, reason, links }: MailDocument): string => {
  const linkHtml = links
    .map(
      ({ label, url }) =>
        `<a href="${escapeHtml(url)}" style="color:${muted};text-decoration:underline">${escapeHtml(label)}</a>`,
    )
    .join(' &middot; ')
  const sheet = table(
    `width="100%" style="table-layout:fixed;max-width:600px;background:#ffffff;border:1px solid ${line};border-radius:8px;border-collapse:separate"`,
    row(
      '28px 28px 16px',
      table(
        'width="100%" style="table-layout:fixed"',
        row(
          '0 0 18px',
          `<h1 style="margin:0;font-size:22px;line-height:28px;font-weight:600;color:${ink}">${escapeHtml(title)}</h1>`,
        ) + blocks.map(blockHtml).join(''),
      ),
    ),
  )
  const brandLine = `<div style="font-size:15px;line-height:20px;font-weight:700;color:${brand}">Tasktide</div>`
  const footer = `<div style="font-size:12px;line-height:18px;color:${muted}">${escapeHtml(reason)}${linkHtml && `<br>${linkHtml}`}</div>`
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light">
<meta name="supported-color-schemes" content="light">
<title>${escapeHtml(title)}</title>
</head>
<body style="margin:0;padding:0;background:#f3f5f7">
${previewHtml(preview)}
${table(
  'width="100%" bgcolor="#f3f5f7"',
  `<tr><td align="center" style="padding:24px 12px">${table(
    'width="100%" style="table-layout:fixed;max-width:600px"',
    row('0 4px 14px', brandLine) + row('0', sheet) + row('16px 4px 0', footer),
  )}</td></tr>`,
)}
</body>
</html>
`
}
