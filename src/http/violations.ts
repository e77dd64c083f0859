// Lists the rules of a schema that a value violates, in words for people. The walk stops at the first violation of a
// value and at `maxViolations` of a body, and lengths are checked before content, so that the cost of a rejection is
// bounded by the limits and not by the size of the value. Every schema of a route is of a kind listed here.
import { Kind, OptionalKind, Type, TypeRegistry, type TSchema } from '@sinclair/typebox'
import { AppError, invalid, type Violation } from '../errors.ts'
import { textFault } from '../model/text.ts'

/** Violations listed in one answer. */
export const maxViolations = 20

export const unknownMember = 'is unknown here'

/** A longer member name is cut in pointers. */
const maxPointerLength = 200

/**
 * The violations of `value`, at most `limit`: missing members first, then unknown ones, then values.
 * @param pointer of the value itself, RFC 6901.
 */
export const violationsIn = (
  schema: TSchema,
  value: unknown,
  pointer = '',
  limit = maxViolations,
): Violation[] => {
  const found: Violation[] = []
  walk(schema, value, pointer, { found, limit })
  return found
}

interface Findings {
  found: Violation[]
  limit: number
}

const isFull = ({ found, limit }: Findings): boolean => found.length >= limit

const add = ({ found }: Findings, pointer: string, detail: string): void => {
  found.push({ pointer: pointer.slice(0, maxPointerLength), detail })
}

const walk = (schema: TSchema, value: unknown, pointer: string, findings: Findings): void => {
  switch (schema[Kind]) {
    case 'Object':
      return walkObject(schema, value, pointer, findings)
    case 'Array':
      return walkArray(schema, value, pointer, findings)
    case 'Union':
      return walkUnion(schema, value, pointer, findings)
    case 'Unknown':
      return undefined
    default: {
      const detail = leafViolation(schema, value)
      if (detail !== null) add(findings, pointer, detail)
    }
  }
}

const hasOwn = (value: object, name: string): boolean => Object.prototype.hasOwnProperty.call(value, name)

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const walkObject = (schema: TSchema, value: unknown, pointer: string, findings: Findings): void => {
  if (!isRecord(value)) return add(findings, pointer, 'must be an object')
  const properties: Record<string, TSchema> = schema['properties']
  const names = Object.keys(properties)
  for (const name of names) {
    if (isFull(findings)) return
    if (properties[name]![OptionalKind] === undefined && !hasOwn(value, name))
      add(findings, at(pointer, name), 'is required')
  }
  let count = 0
  for (const name in value) {
    if (isFull(findings)) return
    count += 1
    if (!hasOwn(properties, name)) add(findings, at(pointer, name), unknownMember)
  }
  if (count < Number(schema['minProperties'] ?? 0))
    add(findings, pointer, `must have at least one of ${names.join(', ')}`)
  for (const name of names) {
    if (isFull(findings)) return
    // JSON has no undefined: a member is there or it is not.
    if (hasOwn(value, name)) walk(properties[name]!, value[name], at(pointer, name), findings)
  }
}

const at = (pointer: string, name: string): string =>
  `${pointer}/${name.slice(0, maxPointerLength).replaceAll('~', '~0').replaceAll('/', '~1')}`

const walkArray = (schema: TSchema, value: unknown, pointer: string, findings: Findings): void => {
  if (!Array.isArray(value)) return add(findings, pointer, 'must be an array')
  const items: TSchema = schema['items']
  const maxItems = Number(schema['maxItems'] ?? Infinity)
  const minItems = Number(schema['minItems'] ?? 0)
  if (value.length > maxItems) return add(findings, pointer, `must have at most ${maxItems} items`)
  if (value.length < minItems)
    return add(findings, pointer, `must have at least ${minItems} ${minItems === 1 ? 'item' : 'items'}`)
  for (const [index, item] of value.entries()) {
    if (isFull(findings)) return
    walk(items, item, `${pointer}/${index}`, findings)
  }
}

/** Reports the violations of the only alternative beside null, or lists all alternatives. */
const walkUnion = (schema: TSchema, value: unknown, pointer: string, findings: Findings): void => {
  const options: TSchema[] = schema['anyOf']
  const plain = options.filter((option) => option[Kind] !== 'Null')
  const isNullable = plain.length < options.length
  if (isNullable && value === null) return
  const [only] = plain
  if (only && plain.length === 1) {
    const own = violationsIn(only, value, pointer, findings.limit - findings.found.length)
    for (const { pointer: where, detail } of own)
      add(findings, where, isNullable && where === pointer ? `${detail} or null` : detail)
    return
  }
  if (plain.some((option) => violationsIn(option, value, pointer, 1).length === 0)) return
  const rules = plain.map((option) => ruleOf(option).replace(/^must be /, ''))
  add(findings, pointer, `must be ${[...rules, ...(isNullable ? ['null'] : [])].join(' or ')}`)
}

/** The rule that a single value violates, or null. */
const leafViolation = (schema: TSchema, value: unknown): string | null => {
  const kind = schema[Kind]
  switch (kind) {
    case 'Text':
      return typeof value === 'string' ? textFault(value, { maxLength: Infinity, ...schema }) : ruleOf(schema)
    case 'Null':
      return value === null ? null : ruleOf(schema)
    case 'Boolean':
      return typeof value === 'boolean' ? null : ruleOf(schema)
    case 'Integer':
      return isWhole(schema, value) ? null : ruleOf(schema)
    default: {
      const check = TypeRegistry.Get(kind)
      if (!check) throw new Error(`No words for the schema kind ${kind}`)
      return check(schema, value) ? null : ruleOf(schema)
    }
  }
}

const isWhole = ({ minimum = -Infinity, maximum = Infinity }: TSchema, value: unknown): boolean =>
  Number.isSafeInteger(value) && Number(value) >= Number(minimum) && Number(value) <= Number(maximum)

/** The rule of a schema, in words. */
const ruleOf = (schema: TSchema): string => {
  switch (schema[Kind]) {
    case 'Text':
      return 'must be text'
    case 'Word':
      return `must be one of ${String(schema['enum'].join(', '))}`
    case 'Words':
      return `must be a comma list of ${String(schema['items'].enum.join(', '))}`
    case 'Whole':
      return `must be one whole number from ${String(schema['minimum'])} to ${String(schema['maximum'])}`
    case 'Integer':
      return `must be a whole number from ${String(schema['minimum'] ?? Number.MIN_SAFE_INTEGER)} to ${String(schema['maximum'] ?? Number.MAX_SAFE_INTEGER)}`
    case 'Boolean':
    case 'Flag':
      return 'must be true or false'
    case 'Null':
      return 'must be null'
    case 'Id':
      return 'must be a UUID'
    case 'ClientId':
      return 'must be a UUIDv7'
    case 'Instant':
      return 'must be an RFC 3339 date-time that exists, such as 2026-11-20T10:00:00.000Z'
    case 'Sha256':
      return 'must be a SHA-256 in 64 lower-case hexadecimal digits'
    case 'TimeZone':
      return 'must be an IANA time zone such as Europe/Berlin'
    case 'Color':
      return 'must be a colour such as #1e90ff: # and six hexadecimal digits'
    case 'Repeatable':
      return `must be given at most ${String(schema['maxItems'])} times, each with 1 to ${String(schema['items'].maxLength)} characters`
    case 'Cursors':
      return `must be given at most ${String(schema['maxItems'])} times`
    case 'Cursor':
      return 'must be a cursor as the server returned it'
    default:
      throw new Error(`No words for the schema kind ${schema[Kind]}`)
  }
}

/** The schemas a route declares. */
export interface RouteSchemas {
  params?: TSchema
  query?: TSchema
  body?: TSchema
}

/** Whether a value matches its schema, without saying why not. */
export const matches = (schema: TSchema, value: unknown): boolean =>
  branches.has(schema[Kind])
    ? violationsIn(schema, value, '', 1).length === 0
    : leafViolation(schema, value) === null

/** The kinds of schema with schemas inside. */
const branches = new Set<unknown>(['Object', 'Array', 'Union', 'Unknown'])

/** 422 for the body; undefined is no body. */
export const checkBody = (schema: TSchema | undefined, body: unknown): void => {
  if (body === undefined && (!schema || schema[OptionalKind] !== undefined)) return
  const violations =
    body === undefined
      ? [{ pointer: '', detail: 'is required: send a JSON object' }]
      : violationsIn(schema ?? emptyBody, body)
  if (violations.length > 0) throw invalid(...violations)
}

/** The schema of a route without a `body` schema: an object without members. */
const emptyBody = Type.Object({}, { additionalProperties: false })

/** 400 or 422 for a query. */
export const checkQuery = (schema: TSchema, query: Record<string, unknown>): void => {
  const violations = violationsIn(schema, query)
  if (violations.length === 0) return
  if (violations.some(({ detail }) => detail === unknownMember))
    throw new AppError('unknown_parameter', undefined, { errors: violations })
  const properties: Record<string, TSchema> = schema['properties']
  if (violations.some(({ pointer }) => properties[pointer.slice(1)]?.[Kind] === 'Cursor'))
    throw new AppError('bad_cursor')
  throw new AppError('validation_failed', undefined, { errors: violations })
}
