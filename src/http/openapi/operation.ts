// One operation of the OpenAPI document: what the plugin derives from the schemas of a route, completed from its traits by
// media types, security, headers and every error it can answer.
import { OptionalKind } from '@sinclair/typebox'
import { codes, statusOf } from '../../errors.ts'
import { traitsKey, type RouteTraits } from '../route.ts'
import type { DeclaredRoute } from '../route-group.ts'
import {
  exampleOf,
  headerRef,
  isObject,
  objectOf,
  problemName,
  type Json,
  type JsonObject,
} from './components.ts'
import { withReferences } from './references.ts'

const hasOptionalBody = ({ hooks }: DeclaredRoute): boolean => hooks.body?.[OptionalKind] !== undefined

export const operationOf = (route: DeclaredRoute, operation: JsonObject): JsonObject => {
  const method = route.method.toLowerCase()
  const isWrite = method !== 'get'
  const traits = route.traits
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

/** Alternatives; the empty one says that an operation also answers without credentials. */
const securityOf = ({ access, optionalCredentials }: RouteTraits): JsonObject[] => {
  const alternatives = optionalCredentials.map((scheme) => ({ [scheme]: [] }))
  if (access === 'public') return alternatives.length > 0 ? [{}, ...alternatives] : []
  return [{ bearer: [] }, ...(access === 'bearer' ? [{ personalToken: [] }] : [])]
}

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

const finishBody = (route: DeclaredRoute, { body: reader }: RouteTraits, body: JsonObject): JsonObject => {
  return {
    required: !hasOptionalBody(route),
    content: contentOf(reader.mediaTypes(route.method), schemaOf(body) ?? {}),
  }
}

/** A schema under each media type, with an example of JSON where it is no model, which has its own. */
const contentOf = (types: readonly string[], schema: Json): JsonObject => {
  const isModel = nameOf(withReferences(schema)) !== ''
  const example = isModel || !isObject(schema) ? {} : { example: exampleOf(withoutOptional(schema)) }
  return Object.fromEntries(
    types.map((type) => [type, { schema: withReferences(schema), ...(type.endsWith('json') && example) }]),
  )
}

/** An object with its required members alone: a list has more only in pages by number. */
const withoutOptional = (schema: JsonObject): JsonObject => {
  const required = new Set([schema['required']].flat())
  if (required.size === 0 || !isObject(schema['properties'])) return schema
  const members = Object.entries(schema['properties']).filter(([name]) => required.has(name))
  return { ...schema, properties: Object.fromEntries(members) }
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
  { access, idempotent, isLogged, produces, rateLimit }: RouteTraits,
  isRead: boolean,
): JsonObject => {
  if (status >= 400) return { $ref: `#/components/responses/${problemName(status)}` }
  const given = schemaOf(response)
  const schema = given === undefined ? undefined : withReferences(given)
  const hasBody = given !== undefined && status !== 204
  const isFile = [produces].flat().some((type) => type.startsWith('image/'))
  const carried = [
    'X-Request-Id',
    ...(rateLimit === 'none' ? [] : ['RateLimit', 'RateLimit-Policy']),
    ...(status === 201 ? ['Location'] : []),
    ...(isRead || (hasBody && (access !== 'public' || status === 201)) ? ['ETag'] : []),
    ...(isRead && hasMember(schema, 'nextCursor') ? ['Link'] : []),
    ...(idempotent && isLogged ? ['Tide-Cursor'] : []),
    ...(idempotent ? ['Idempotency-Replayed'] : []),
    ...(nameOf(schema) === 'SessionAnswer' ? ['Set-Cookie'] : []),
    ...(isFile ? ['Content-Disposition'] : []),
    ...(status === 206 ? ['Content-Range'] : []),
  ]
  return {
    description: response['description'] ?? descriptions[status] ?? 'OK',
    headers: Object.fromEntries(carried.map((name) => [name, headerRef(name)])),
    ...(hasBody && { content: contentOf([produces].flat(), given) }),
  }
}

/** The schema of a body; the plugin lists the same one under each media type it supposes. */
const schemaOf = ({ content }: JsonObject): Json | undefined => {
  const [first] = Object.values(objectOf(content))
  return isObject(first) ? first['schema'] : undefined
}

/** The model a schema refers to; empty for none. */
const nameOf = (schema: Json | undefined): string =>
  isObject(schema) && typeof schema['$ref'] === 'string' ? schema['$ref'].split('/').at(-1)! : ''

const hasMember = (schema: Json | undefined, name: string): boolean =>
  isObject(schema) && objectOf(schema['properties'])[name] !== undefined
