// The OpenAPI 3.1 document. @elysiajs/swagger derives it from the schemas of the routes; this file completes it from the
// declared traits: references by name, media types, security, headers and every error an operation can answer. Built
// once, at the first request, when all routes exist.
import packageJson from '../../../package.json' with { type: 'json' }
import { OnFirstUse } from '../../async/on-first-use.ts'
import { refreshCookieName } from '../cookies.ts'
import { undocumented } from '../route.ts'
import { RouteGroup, type DeclaredRoute } from '../route-group.ts'
import {
  headers,
  objectOf,
  parameters,
  plain,
  problemResponses,
  schemas,
  type Json,
  type JsonObject,
} from './components.ts'
import { operationOf } from './operation.ts'
import { insideReferences } from './references.ts'
import { bodyTag, ok } from '../response.ts'

type Routes = readonly DeclaredRoute[]

const info = {
  title: 'Tasktide',
  version: packageJson.version,
  description:
    'Tasks over REST, with a change log that clients follow without gaps. Writes return `Tide-Cursor`, their position in the log; read the log over `GET /api/sync` or the WebSocket at `/api/ws` (protocol `tasktide.v1`). Log lines of a request name its `X-Request-Id` and, with a `traceparent` (W3C Trace Context), the trace. Texts are stored in NFC, titles, names and tags without white space at their edges, descriptions and comments with it; lengths count the code points of what is stored; lone surrogates are refused. A method that a path does not have is 405 with `Allow` (401 where its other methods need credentials and there are none), a path that does not exist 404, all with a problem.',
}

const tags = [
  { name: 'Auth', description: 'Registration, sign-in and sessions' },
  { name: 'Users', description: 'The account of the caller and public data of other users' },
  { name: 'Projects', description: 'Projects and their members' },
  { name: 'Tasks', description: 'Tasks, subtasks, tags and shares' },
  { name: 'Comments', description: 'Comments on tasks, with mentions' },
  { name: 'Attachments', description: 'Files of tasks' },
  { name: 'Notifications', description: 'The inbox of the caller' },
  { name: 'Activity', description: 'What was changed, by whom, from what to what' },
  { name: 'Log', description: 'Snapshots and the change log' },
  { name: 'Operations', description: 'Health and version' },
]

/** Serves /api/openapi.json. @param routesOf called at the first request. */
export const openApiRoutes = (routesOf: () => Routes) => {
  const document = new OnFirstUse(() => describe(routesOf()))
  return new RouteGroup().get(
    '/api/openapi.json',
    async () => bodyTag(ok(await document.get(), { 'Cache-Control': 'private, no-cache' })),
    { detail: undocumented({ access: 'public' }) },
  )
}

/** The finished document for these routes. */
export const describe = async (routes: Routes): Promise<JsonObject> => {
  const read = await readRoutes(routes)
  const declared = new Map(routes.map((route) => [operationName(route), route]))
  const paths = Object.entries(read).map(([path, item]): [string, JsonObject] => {
    const operations = Object.entries(objectOf(item)).map(([method, operation]): [string, Json] => [
      method,
      operationOf(declared.get(`${method} ${path}`)!, objectOf(operation)),
    ])
    return [path.replace(/(.)\/$/, '$1'), Object.fromEntries(operations)]
  })
  return {
    openapi: '3.1.0',
    info,
    servers: [{ url: '/' }],
    tags,
    paths: merged(paths),
    components: {
      securitySchemes: {
        bearer: {
          type: 'http',
          scheme: 'bearer',
          bearerFormat: 'JWT',
          description: 'The accessToken of a session, valid for 15 minutes',
        },
        personalToken: {
          type: 'http',
          scheme: 'bearer',
          bearerFormat: 'ttp_…',
          description:
            'A personal access token: `read` permits GET, `write` every method; 403 `insufficient_scope` otherwise',
        },
        refreshCookie: {
          type: 'apiKey',
          in: 'cookie',
          name: refreshCookieName,
          description:
            'The refreshToken of a session, which browsers store by themselves; needs an allowed `Origin`, 403 `origin_refused` otherwise',
        },
      },
      schemas: Object.fromEntries(
        Object.entries(schemas()).map(([name, schema]) => [name, insideReferences(schema)]),
      ),
      responses: problemResponses(),
      parameters,
      headers,
    },
  }
}

/** The plugin is not mounted; it only builds its document. */
const readRoutes = async (routes: Routes): Promise<JsonObject> => {
  const { swagger } = await import('@elysiajs/swagger')
  const plugin = swagger({ specPath: '/openapi.json', excludeStaticFile: false })
  Object.assign(plugin, { getGlobalRoutes: () => routes })
  const response = await plugin.handle(new Request('http://localhost/openapi.json'))
  return objectOf(plain(await response.json())['paths'])
}

/** `/a` and `/a/` are one path. */
const merged = (paths: [string, JsonObject][]): JsonObject => {
  const result: Record<string, JsonObject> = {}
  for (const [path, item] of paths) result[path] = { ...result[path], ...item }
  return result
}

const operationName = ({ method, path }: Routes[number]): string =>
  `${method.toLowerCase()} ${path.replaceAll(/:(\w+)/g, '{$1}')}`
