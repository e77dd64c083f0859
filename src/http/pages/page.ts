// The small pages that links in mails lead to, so that they work without a front end. Invariant: nothing is inline and
// nothing comes from another host; what a page says is written here, never taken from a request.
import type { Answer } from '../response.ts'

const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

export const pageHeaders = (type: string): Record<string, string> => ({
  'Content-Type': `${type}; charset=utf-8`,
  'Content-Security-Policy': policy,
  'Cache-Control': 'no-cache',
})

export interface Page {
  title: string
  /** HTML. */
  content: string
  /** Of a page that confirms by a link. */
  hasScript?: boolean
}

/** Addresses are relative to the host, so that a page works behind any proxy. */
export const pageAnswer = ({ title, content, hasScript = false }: Page): Answer => ({
  status: 200,
  headers: { ...pageHeaders('text/html'), 'Cache-Control': 'no-store', 'X-Robots-Tag': 'noindex' },
  body: `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>${title} · Tasktide</title>
    <link rel="icon" href="data:,">
    <link rel="stylesheet" href="/api/pages/page.css">${hasScript ? '\n    <script src="/api/pages/account.js" defer></script>' : ''}
  </head>
  <body>
    <p class="brand">Tasktide</p>
    <main>
      <h1>${title}</h1>
${content}
    </main>
  </body>
</html>
`,
})
