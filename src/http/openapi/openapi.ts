// The OpenAPI 3.1 document. @elysiajs/swagger reads it off the routes' own schemas; what it leaves invalid or
// unsaid is finished here: references by name, the one content type, security as the guard has it, the headers
// and every error an operation can answer. Made once, at the first request, when all routes exist.
import { swagger } from '@elysiajs/swagger'
import { OptionalKind } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import packageJson from '../../../package.json' with { type: 'json' }
import { isGuarded } from '../guard.ts'
import {
  headerRef,
  headers,
  isObject,
  objectOf,
  models,
  parameters,
  plain,
  problemName,
  problemResponses,
  schemas,
  type Json,
  type JsonObject,
} from './components.ts'
import { bodyTag, ok, respond } from '../response.ts'

/** As Elysia keeps it. */
type Routes = Elysia['routes']

const info = {
  title: 'Tasktide',
  version: packageJson.version,
  description:
    'Tasks over REST, with a change log that every client can follow without a gap. Writes answer `Tide-Cursor`, their position in the log; read it over `GET /api/sync` or the socket at `/api/ws` (protocol `tasktide.v1`).',
}

const tags = [
  { name: 'Auth', description: 'Registration, sign-in and sessions' },
  { name: 'Users', description: 'The caller, and what it may see of others' },
  { name: 'Projects', description: 'Projects and their members' },
  { name: 'Tasks', description: 'Tasks, subtasks, tags and single shares' },
  { name: 'Notifications', description: 'What the worker tells a person' },
  { name: 'Log', description: 'Snapshots and the change log' },
  { name: 'Operations', description: 'Health and what is running' },
]

/** Serves /api/openapi.json. @param routesOf all routes of the application, asked at the first request. */
export const openApiRoutes = (routesOf: () => Routes) => {
  let document: Promise<JsonObject> | undefined
  return new Elysia({ name: 'openapi' }).get(
    '/api/openapi.json',
    async ({ request }) => {
      document ??= describe(routesOf())
      return respond(bodyTag(ok(await document, { 'Cache-Control': 'no-cache' })), request)
    },
    { detail: { hide: true } },
  )
}

/** The finished document for these routes. */
export const describe = async (routes: Routes): Promise<JsonObject> => {
  const read = await readRoutes(routes)
  const optional = new Set(routes.filter(hasOptionalBody).map(operationName))
  const paths = Object.entries(read).map(([path, item]): [string, JsonObject] => {
    const operations = Object.entries(objectOf(item)).map(([method, operation]): [string, Json] => [
      method,
      finish(method, path, objectOf(operation), !optional.has(`${method} ${path}`)),
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

/** The plugin is never mounted: it is only asked for its document. */
const readRoutes = async (routes: Routes): Promise<JsonObject> => {
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

const hasOptionalBody = ({ hooks }: Routes[number]): boolean => hooks.body?.[OptionalKind] !== undefined

const operationName = ({ method, path }: Routes[number]): string =>
  `${method.toLowerCase()} ${path.replaceAll(/:(\w+)/g, '{$1}')}`

/** Writes that take If-Match. */
const versioned = /^\/api\/(tasks|projects|comments)\/\{\w+\}(\/tags\/\{tag\})?$/

/** Its operations carry the versions they expect. */
const batch = '/api/tasks/batch'

const finish = (method: string, path: string, operation: JsonObject, isBodyRequired: boolean): JsonObject => {
  const isWrite = method !== 'get'
  const guarded = isGuarded(path)
  const { parameters: given = [], requestBody, responses, operationId, ...detail } = operation
  const own = (Array.isArray(given) ? given : []).map((parameter) => finishParameter(objectOf(parameter)))
  const takesKey = guarded && isWrite && !path.startsWith('/api/auth/')
  const takesMatch = isWrite && versioned.test(path)
  const shared = [
    ...(takesKey ? ['IdempotencyKey'] : []),
    ...(takesMatch ? ['IfMatch'] : []),
    ...(guarded && !isWrite ? ['IfNoneMatch'] : []),
  ]
  const body = isObject(requestBody) ? finishBody(method, requestBody, isBodyRequired) : undefined
  const errors = [
    400,
    ...(guarded || path.startsWith('/api/auth/') ? [401, 403] : []),
    ...(own.length > 0 || body ? [404] : []),
    ...(isWrite ? [409] : []),
    ...(takesMatch || path === batch ? [412] : []),
    ...(isWrite ? [413, 415] : []), // a body is read and refused where none belongs, too
    ...(own.length > 0 || isWrite ? [422] : []),
    ...(path.startsWith('/api/') ? [429] : []),
    500,
    503,
  ]
  return {
    ...detail,
    operationId: typeof operationId === 'string' ? operationId.replace('Api', '') : null,
    security: guarded ? [{ bearer: [] }] : [],
    ...(own.length + shared.length > 0 && {
      parameters: [...own, ...shared.map((name) => ({ $ref: `#/components/parameters/${name}` }))],
    }),
    ...(body && { requestBody: body }),
    responses: {
      ...Object.fromEntries(
        Object.entries(objectOf(responses)).map(([status, response]) => [
          status,
          finishResponse(Number(status), objectOf(response), { takesKey, isRead: guarded && !isWrite }),
        ]),
      ),
      ...(guarded && !isWrite && { 304: { description: 'What If-None-Match names still stands' } }),
      ...Object.fromEntries(
        errors.map((status) => [status, { $ref: `#/components/responses/${problemName(status)}` }]),
      ),
    },
  }
}

/** How a parameter is written belongs beside its schema, its examples into it. */
const finishParameter = (parameter: JsonObject): JsonObject => {
  const { schema, examples, ...rest } = parameter
  const { style, explode, ...inner } = objectOf(schema)
  return {
    ...rest,
    ...(style !== undefined && { style }),
    ...(explode !== undefined && { explode }),
    schema: withReferences({ ...inner, ...(examples !== undefined && { examples }) }),
  }
}

const finishBody = (method: string, body: JsonObject, required: boolean): JsonObject => {
  const content = { schema: jsonSchemaOf(body) ?? {} }
  return {
    required,
    content: {
      'application/json': content,
      ...(method === 'patch' && { 'application/merge-patch+json': content }),
    },
  }
}

const descriptions: Record<number, string> = {
  101: 'The connection is a WebSocket from here on',
  200: 'Done',
  201: 'Made',
  202: 'Taken up',
  204: 'Done; there is nothing to say',
}

const finishResponse = (
  status: number,
  response: JsonObject,
  { takesKey, isRead }: { takesKey: boolean; isRead: boolean },
): JsonObject => {
  if (status >= 400) return { $ref: `#/components/responses/${problemName(status)}` }
  const schema = jsonSchemaOf(response)
  const carried = [
    'X-Request-Id',
    ...(status === 201 ? ['Location'] : []),
    ...(isRead || hasVersion(schema) ? ['ETag'] : []),
    ...(takesKey ? ['Tide-Cursor', 'Idempotency-Replayed'] : []),
  ]
  return {
    description: response['description'] ?? descriptions[status] ?? 'Done',
    headers: Object.fromEntries(carried.map((name) => [name, headerRef(name)])),
    ...(schema !== undefined && status !== 204 && { content: { 'application/json': { schema } } }),
  }
}

const jsonSchemaOf = ({ content }: JsonObject): Json | undefined => {
  const json = isObject(content) ? content['application/json'] : undefined
  return isObject(json) && json['schema'] !== undefined ? withReferences(json['schema']) : undefined
}

const hasVersion = (schema: Json | undefined): boolean => {
  const name = isObject(schema) && typeof schema['$ref'] === 'string' ? schema['$ref'].split('/').at(-1)! : ''
  return models[name]?.['properties']?.['version']?.type === 'integer'
}

/** The same for a model wherever it stands: the plugin reorders keys and drops additionalProperties. */
const canonical = (schema: unknown): string =>
  JSON.stringify(schema, (_key, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(
          Object.entries(value)
            .filter(([key]) => key !== 'additionalProperties')
            .sort(([a], [b]) => (a < b ? -1 : 1)),
        )
      : value,
  )

const names = new Map(Object.entries(models).map(([name, model]) => [canonical(plain(model)), name]))

/** The schema with every model in it, and itself where it is one, as a reference. */
export const withReferences = (schema: Json): Json => {
  const name = isObject(schema) ? names.get(canonical(schema)) : undefined
  return name ? { $ref: `#/components/schemas/${name}` } : insideReferences(schema)
}

const insideReferences = (schema: Json): Json => {
  if (Array.isArray(schema)) return schema.map(withReferences)
  if (!isObject(schema)) return schema
  return Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, withReferences(value)]))
}
