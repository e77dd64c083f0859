// Ids and instants are accepted in either case and used in one. Input is rewritten once, by its schema, before any
// comparison, so that the rest of the program handles one spelling.
import { Kind, type TSchema } from '@sinclair/typebox'
import { canonicalId, maxInstantLength } from './scalar.ts'

/** Rewrites a value and returns it; objects are changed in place. */
type Rewrite = (value: unknown) => unknown

const spellings: Record<string, (text: string) => string> = {
  Id: canonicalId,
  ClientId: canonicalId,
  // Longer text is not copied: validation refuses it.
  Instant: (text) => (text.length > maxInstantLength ? text : text.toUpperCase()),
}

const compiled = new WeakMap<TSchema, { rewrite: Rewrite | null }>()

/** The value with ids and instants in canonical spelling. Parts that do not match the schema stay unchanged. */
export const toCanonical = (schema: TSchema, value: unknown): unknown => {
  let known = compiled.get(schema)
  if (!known) compiled.set(schema, (known = { rewrite: rewriteOf(schema) }))
  return known.rewrite ? known.rewrite(value) : value
}

const rewriteOf = (schema: TSchema): Rewrite | null => {
  const spell = spellings[schema[Kind]]
  if (spell) return (value) => (typeof value === 'string' ? spell(value) : value)
  switch (schema[Kind]) {
    case 'Object':
      return rewriteOfObject(schema)
    case 'Array':
      return rewriteOfArray(schema)
    case 'Union': {
      const options: TSchema[] = schema['anyOf']
      const rewrites = options.map(rewriteOf).filter((rewrite) => rewrite !== null)
      return rewrites.length === 0 ? null : (value) => rewrites.reduce((text, next) => next(text), value)
    }
    default:
      return null
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const rewriteOfObject = (schema: TSchema): Rewrite | null => {
  const properties: Record<string, TSchema> = schema['properties']
  const rewrites = Object.entries(properties).flatMap(([name, property]) => {
    const rewrite = rewriteOf(property)
    return rewrite ? [{ name, rewrite }] : []
  })
  if (rewrites.length === 0) return null
  return (value) => {
    if (!isRecord(value)) return value
    for (const { name, rewrite } of rewrites)
      if (Object.hasOwn(value, name)) value[name] = rewrite(value[name])
    return value
  }
}

const rewriteOfArray = (schema: TSchema): Rewrite | null => {
  const rewrite = rewriteOf(schema['items'])
  const maxItems = Number(schema['maxItems'] ?? Infinity)
  if (!rewrite) return null
  // Validation refuses too many items by their number, so they are not rewritten.
  return (value) =>
    Array.isArray(value) && value.length <= maxItems ? value.map((item: unknown) => rewrite(item)) : value
}
