// The interactive page of the API at /api/docs. Everything it needs comes from here: Swagger UI out of the
// dependency, one script of our own, nothing inline, nothing from the internet.
import { Elysia } from 'elysia'
import bundlePath from 'swagger-ui-dist/swagger-ui-bundle.js' with { type: 'file' }
import stylePath from 'swagger-ui-dist/swagger-ui.css' with { type: 'file' }
import { undocumented } from '../route.ts'

// Swagger UI's own style sheet holds its icons as data: URLs.
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const page = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Tasktide API</title>
    <link rel="icon" href="data:,">
    <link rel="stylesheet" href="/api/docs/swagger-ui.css">
    <script src="/api/docs/swagger-ui.js" defer></script>
    <script src="/api/docs/start.js" defer></script>
  </head>
  <body>
    <div id="page"></div>
    <noscript>This page needs JavaScript. The document itself is <a href="/api/openapi.json">openapi.json</a>.</noscript>
  </body>
</html>
`

const start = `SwaggerUIBundle({
  url: '/api/openapi.json',
  dom_id: '#page',
  deepLinking: true,
  docExpansion: 'list',
  defaultModelsExpandDepth: 0,
  persistAuthorization: false,
  validatorUrl: null,
})
`

export const docsRoutes = () =>
  new Elysia({ prefix: '/api/docs', detail: undocumented({ access: 'public' }) })
    .get('', () => answer(page, 'text/html'))
    .get('/start.js', () => answer(start, 'text/javascript'))
    .get('/swagger-ui.js', async () => answer(await textOf(bundlePath), 'text/javascript'))
    .get('/swagger-ui.css', async () => answer(await textOf(stylePath), 'text/css'))

const textOf = (path: string): Promise<string> => Bun.file(path).text()

const answer = (content: string, type: string): Response =>
  new Response(content, {
    headers: {
      'Content-Type': `${type}; charset=utf-8`,
      'Content-Security-Policy': policy,
      'Cache-Control': 'no-cache',
    },
  })
