// The OpenAPI 3.1 document. @elysiajs/swagger derives it from the schemas of the routes; this file completes it from the
// declared traits: references by name, media types, security, headers and every error an operation can answer. Built
// once, at the first request, when all routes exist.
import { OptionalKind } from '@sinclair/typebox'
import packageJson from '../../../package.json' with { type: 'json' }
import { OnFirstUse } from '../../async/on-first-use.ts'
import { codes, statusOf } from '../../errors.ts'
import { traitsKey, traitsOf, undocumented, type RouteTraits } from '../route.ts'
import { RouteGroup, type DeclaredRoute } from '../route-group.ts'
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
import { bodyTag, ok } from '../response.ts'

type Routes = readonly DeclaredRoute[]

const info = {
  title: 'Tasktide',
  version: packageJson.version,
  description:
    'Tasks over REST, with a change log that clients follow without gaps. Writes return `Tide-Cursor`, their position in the log; read the log over `GET /api/sync` or the WebSocket at `/api/ws` (protocol `tasktide.v1`).',
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
    async () => bodyTag(ok(await document.get(), { 'Cache-Control': 'no-cache' })),
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
      finish(declared.get(`${method} ${path}`)!, objectOf(operation)),
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

const hasOptionalBody = ({ hooks }: Routes[number]): boolean => hooks.body?.[OptionalKind] !== undefined

const operationName = ({ method, path }: Routes[number]): string =>
  `${method.toLowerCase()} ${path.replaceAll(/:(\w+)/g, '{$1}')}`

const finish = (route: Routes[number], operation: JsonObject): JsonObject => {
  const method = route.method.toLowerCase()
  const isWrite = method !== 'get'
  const traits = traitsOf(route)
  const isGuarded = traits.access !== 'public'
  const { parameters: given = [], requestBody, responses, operationId, [traitsKey]: _, ...detail } = operation
  const own = (Array.isArray(given) ? given : []).map((parameter) => finishParameter(objectOf(parameter)))
  const shared = [
    ...(traits.idempotent ? ['IdempotencyKey'] : []),
    ...(traits.versioned ? ['IfMatch'] : []),
    ...(isGuarded && !isWrite ? ['IfNoneMatch'] : []),
  ]
  const hasBody = isObject(requestBody) || traits.body.kind === 'stream'
  const body = hasBody ? finishBody(route, traits, objectOf(requestBody)) : undefined
  const errors = new Set<number>([
    400,
    ...(isGuarded ? [401, 403] : []),
    ...(own.length > 0 || body ? [404] : []),
    ...(isWrite ? [409] : []),
    ...(traits.versioned ? [412] : []),
    ...(isWrite ? [413, 415] : []), // a route without a body refuses one in the same way
    ...(own.length > 0 || isWrite ? [422] : []),
    ...(traits.rateLimit === 'none' ? [] : [429]),
    500,
    503,
    ...traits.errors.map((code) => statusOf[codes[code][0]]),
  ])
  return {
    ...detail,
    operationId: typeof operationId === 'string' ? operationId.replace('Api', '') : null,
    security: securityOf(traits),
    ...(own.length + shared.length > 0 && {
      parameters: [...own, ...shared.map((name) => ({ $ref: `#/components/parameters/${name}` }))],
    }),
    ...(body && { requestBody: body }),
    responses: {
      ...Object.fromEntries(
        Object.entries(objectOf(responses)).map(([status, response]) => [
          status,
          finishResponse(Number(status), objectOf(response), traits, isGuarded && !isWrite),
        ]),
      ),
      ...(isGuarded &&
        !isWrite && { 304: { description: 'Not modified: a tag of If-None-Match is current' } }),
      ...Object.fromEntries(
        [...errors].map((status) => [status, { $ref: `#/components/responses/${problemName(status)}` }]),
      ),
    },
  }
}

const securityOf = ({ access }: RouteTraits): JsonObject[] => [
  ...(access === 'public' ? [] : [{ bearer: [] }]),
  ...(access === 'bearer' ? [{ personalToken: [] }] : []),
]

/** Moves `style` and `explode` beside the schema and examples into it. */
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

const finishBody = (route: Routes[number], { body: reader }: RouteTraits, body: JsonObject): JsonObject => {
  const content = { schema: schemaOf(body) ?? {} }
  return {
    required: !hasOptionalBody(route),
    content: Object.fromEntries(reader.mediaTypes(route.method).map((type) => [type, content])),
  }
}

const descriptions: Record<number, string> = {
  101: 'Switching to the WebSocket protocol',
  200: 'OK',
  201: 'Created',
  202: 'Accepted',
  204: 'No content',
  206: 'Partial content',
}

const finishResponse = (
  status: number,
  response: JsonObject,
  { idempotent, produces }: RouteTraits,
  isRead: boolean,
): JsonObject => {
  if (status >= 400) return { $ref: `#/components/responses/${problemName(status)}` }
  const schema = schemaOf(response)
  const carried = [
    'X-Request-Id',
    ...(status === 201 ? ['Location'] : []),
    ...(isRead || hasVersion(schema) ? ['ETag'] : []),
    ...(idempotent ? ['Tide-Cursor', 'Idempotency-Replayed'] : []),
  ]
  return {
    description: response['description'] ?? descriptions[status] ?? 'OK',
    headers: Object.fromEntries(carried.map((name) => [name, headerRef(name)])),
    ...(schema !== undefined &&
      status !== 204 && {
        content: Object.fromEntries([produces].flat().map((type) => [type, { schema }])),
      }),
  }
}

/** The schema of a body; the plugin lists the same one under each media type it supposes. */
const schemaOf = ({ content }: JsonObject): Json | undefined => {
  const [first] = Object.values(objectOf(content))
  return isObject(first) && first['schema'] !== undefined ? withReferences(first['schema']) : undefined
}

const hasVersion = (schema: Json | undefined): boolean => {
  const name = isObject(schema) && typeof schema['$ref'] === 'string' ? schema['$ref'].split('/').at(-1)! : ''
  return models[name]?.['properties']?.['version']?.type === 'integer'
}

/** Equal text for equal models: the plugin reorders keys and drops additionalProperties. */
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

/** The schema with every model in it replaced by a reference, and itself where it is a model. */
export const withReferences = (schema: Json): Json => {
  const name = isObject(schema) ? names.get(canonical(schema)) : undefined
  return name ? { $ref: `#/components/schemas/${name}` } : insideReferences(schema)
}

const insideReferences = (schema: Json): Json => {
  if (Array.isArray(schema)) return schema.map(withReferences)
  if (!isObject(schema)) return schema
  return Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, withReferences(value)]))
}
