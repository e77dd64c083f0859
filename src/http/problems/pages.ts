// The page of an error code, as HTML and as Markdown, and the list of all codes. Both forms are made from the same
// table, so that they say the same.
import { codes, errorCodes, statusOf, type ErrorCode } from '../../errors.ts'
import { exampleProblem } from './example.ts'
import { explanations } from './explanations.ts'

export interface Page {
  html: string
  markdown: string
}

const statusNames: Record<number, string> = {
  400: 'Bad request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not found',
  405: 'Method not allowed',
  409: 'Conflict',
  410: 'Gone',
  412: 'Precondition failed',
  413: 'Content too large',
  415: 'Unsupported media type',
  416: 'Range not satisfiable',
  422: 'Unprocessable content',
  429: 'Too many requests',
  500: 'Internal server error',
  503: 'Service unavailable',
}

const statusOfCode = (code: ErrorCode): number => statusOf[codes[code][0]]

const statusLine = (status: number): string => `${status} ${statusNames[status] ?? ''}`.trim()

const exampleOf = (code: ErrorCode): string => JSON.stringify(exampleProblem(code), null, 2)

export const pageOfCode = (code: ErrorCode): Page => {
  const [, title] = codes[code]
  const { happened, remedies } = explanations[code]
  const status = statusLine(statusOfCode(code))
  return {
    html: document(
      `${title} (${code})`,
      `<p class="status">${escapeHtml(status)} · <code>${code}</code></p>
<h1>${escapeHtml(title)}</h1>
<h2>What happened</h2>
<p>${inline(happened)}</p>
<h2>What to do</h2>
<ul>
${remedies.map((remedy) => `<li>${inline(remedy)}</li>`).join('\n')}
</ul>
<h2>How it looks</h2>
<pre>${escapeHtml(exampleOf(code))}</pre>
<p class="more"><a href="/problems">All error codes</a> · <a href="/api/docs">API</a></p>`,
    ),
    markdown: `# ${title}

Status ${status} · code \`${code}\`

## What happened

${happened}

## What to do

${remedies.map((remedy) => `- ${remedy}`).join('\n')}

## How it looks

\`\`\`json
${exampleOf(code)}
\`\`\`
`,
  }
}

/** All codes by status. */
export const listOfCodes = (): Page => {
  const byStatus = [...Map.groupBy(errorCodes, statusOfCode)].toSorted(([a], [b]) => a - b)
  return {
    html: document(
      'Error codes',
      `<h1>Error codes</h1>
<p>Every error answer is <code>application/problem+json</code> (RFC 9457) with one of these codes. A code never changes its meaning.</p>
${byStatus
  .map(
    ([status, ofStatus]) => `<h2>${escapeHtml(statusLine(status))}</h2>
<ul>
${ofStatus.map((code) => `<li><a href="/problems/${code}"><code>${code}</code></a> ${escapeHtml(codes[code][1])}</li>`).join('\n')}
</ul>`,
  )
  .join('\n')}
<p class="more"><a href="/api/docs">API</a></p>`,
    ),
    markdown: `# Error codes

Every error answer is \`application/problem+json\` (RFC 9457) with one of these codes. A code never changes its meaning.

${byStatus
  .map(
    ([status, ofStatus]) => `## ${statusLine(status)}

${ofStatus.map((code) => `- [\`${code}\`](/problems/${code}): ${codes[code][1]}`).join('\n')}`,
  )
  .join('\n\n')}
`,
  }
}

export const style = `:root { color-scheme: light dark; --ink: #1f2933; --muted: #52606d; --line: #d9e0e6; --paper: #ffffff; --code: #f1f4f6; --link: #0b6e6e }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ebef; --muted: #9aa8b4; --line: #36424d; --paper: #161c21; --code: #222b32; --link: #5cc4c0 } }
body { margin: 0; background: var(--paper); color: var(--ink); font: 17px/1.55 system-ui, sans-serif }
main { max-width: 42rem; margin: 0 auto; padding: 3rem 1.25rem 4rem }
h1 { font-size: 1.75rem; line-height: 1.25; margin: .25rem 0 1.5rem }
h2 { font-size: 1.05rem; margin: 2rem 0 .5rem }
p, ul { margin: .5rem 0 }
ul { padding-left: 1.25rem }
li { margin: .35rem 0 }
code { font: .88em ui-monospace, monospace; background: var(--code); padding: .1em .3em; border-radius: 4px; overflow-wrap: anywhere }
pre { font: .82rem/1.5 ui-monospace, monospace; background: var(--code); padding: .9rem 1rem; border-radius: 6px; overflow-x: auto }
a { color: var(--link) }
.status, .more { color: var(--muted); font-size: .95rem }
.more { margin-top: 2.5rem; border-top: 1px solid var(--line); padding-top: 1rem }
`

const document = (title: string, content: string): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)} · Tasktide</title>
<link rel="icon" href="data:,">
<style>${style}</style>
</head>
<body>
<main>
${content}
</main>
</body>
</html>
`

const escapes: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }

const escapeHtml = (text: string): string => text.replaceAll(/[&<>"]/g, (character) => escapes[character]!)

/** Text with code between backquotes. */
const inline = (text: string): string => escapeHtml(text).replaceAll(/`([^`]+)`/g, '<code>$1</code>')
