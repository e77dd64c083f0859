// The interactive page of the API at /api/docs. The server serves everything it loads: Swagger UI from the dependency
// and one start script; nothing is inline and nothing comes from another host.
import bundlePath from 'swagger-ui-dist/swagger-ui-bundle.js' with { type: 'file' }
import stylePath from 'swagger-ui-dist/swagger-ui.css' with { type: 'file' }
import { bodyTag, ownFile } from '../response.ts'
import { undocumented } from '../route.ts'
import { RouteGroup } from '../route-group.ts'

// `data:` because the style sheet of Swagger UI embeds its icons.
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

const headersOf = (type: string): Record<string, string> => ({
  'Content-Type': `${type}; charset=utf-8`,
  'Content-Security-Policy': policy,
  'Cache-Control': 'private, no-cache',
})

const text = (type: string, body: string) => bodyTag({ status: 200, headers: headersOf(type), body })

export const docsRoutes = () => {
  const [pageAnswer, startAnswer] = [text('text/html', page), text('text/javascript', start)]
  return new RouteGroup('/api/docs', { detail: undocumented({ access: 'public' }) })
    .get('', () => pageAnswer)
    .get('/start.js', () => startAnswer)
    .get('/swagger-ui.js', ownFile(bundlePath, headersOf('text/javascript')))
    .get('/swagger-ui.css', ownFile(stylePath, headersOf('text/css')))
}
