// Lists the rules of a schema that a value violates, in words for people. The walk stops at the first violation of a
// value and at `maxViolations` of a body, and lengths are checked before content, so that the cost of a rejection is
// bounded by the limits and not by the size of the value. Every schema of a route is of a kind listed here.
import { Kind, OptionalKind, Type, TypeRegistry, type TSchema } from '@sinclair/typebox'
import { AppError, invalid, type Violation } from '../errors.ts'
import { textFault } from '../model/text.ts'
import { ruleOf } from './rule-words.ts'

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
  const tag = tagOf(schema, plain)
  if (tag) return walkTagged(tag, value, pointer, findings)
  if (plain.some((option) => violationsIn(option, value, pointer, 1).length === 0)) return
  const rules = plain.map((option) => ruleOf(option).replace(/^must be /, ''))
  add(findings, pointer, `must be ${[...rules, ...(isNullable ? ['null'] : [])].join(' or ')}`)
}

/** The member by which the alternatives of a union differ, and the alternative for each of its words. */
interface Tag {
  name: string
  options: Map<unknown, TSchema>
}

const tags = new WeakMap<TSchema, { tag: Tag | null }>()

const tagOf = (union: TSchema, options: TSchema[]): Tag | null => {
  let known = tags.get(union)
  if (!known) tags.set(union, (known = { tag: findTag(options) }))
  return known.tag
}

/** A required member of all alternatives, each of which has one word for it. */
const findTag = (options: TSchema[]): Tag | null => {
  const [first] = options
  for (const name of Object.keys(first?.['properties'] ?? {})) {
    const words = options.map((option) => option['properties']?.[name])
    if (words.some((word) => word?.[Kind] !== 'Word' || word['enum'].length !== 1)) continue
    return { name, options: new Map(options.map((option, index) => [words[index]['enum'][0], option])) }
  }
  return null
}

const walkTagged = ({ name, options }: Tag, value: unknown, pointer: string, findings: Findings): void => {
  if (!isRecord(value)) return add(findings, pointer, 'must be an object')
  if (!hasOwn(value, name)) return add(findings, at(pointer, name), 'is required')
  const option = options.get(value[name])
  if (!option) return add(findings, at(pointer, name), `must be one of ${[...options.keys()].join(', ')}`)
  walk(option, value, pointer, findings)
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
