// Renders a mail as plain text: lines of at most 72 characters, links on lines of their own.
import type { Block, Card, MailDocument, Sentence } from './document.ts'
import { lineText, quoteLines } from './safe-text.ts'

const width = 72

export const plainSentence = (sentence: Sentence): string =>
  sentence
    .map((part) => {
      if (typeof part === 'string') return part
      return part.isTitle ? `“${lineText(part.theirs)}”` : lineText(part.theirs)
    })
    .join('')

/** Breaks at spaces; a longer word keeps a line of its own. */
const wrapped = (text: string, indent = ''): string => {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width - indent.length) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line].map((one) => indent + one).join('\n')
}

const cardText = ({ sentence, quote, detail }: Card): string =>
  [
    `* ${wrapped(plainSentence(sentence), '  ').trimStart()}`,
    ...(quote === null ? [] : quoteLines(quote).map((line) => wrapped(line, '  > '))),
    ...(detail.length === 0 ? [] : [wrapped(detail.map(lineText).join(', '), '  ')]),
  ].join('\n')

const blockText = (block: Block): string => {
  if (block.kind === 'button') return `${block.label}:\n${block.url}`
  if (block.kind === 'cards') return block.cards.map(cardText).join('\n\n')
  return wrapped(plainSentence(block.sentence))
}

export const renderPlain = ({ title, blocks, reason, links }: MailDocument): string =>
  [
    `${title}\n${'='.repeat(Math.min(title.length, width))}`,
    ...blocks.map(blockText),
    `-- \n${wrapped(reason)}`,
    ...links.map(({ label, url }) => `${label}:\n${url}`),
  ]
    .join('\n\n')
    .concat('\n')
