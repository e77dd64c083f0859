// Parses query strings strictly: every value is text, a repeated name a list. Elysia's own parser splits at commas, takes
// the last of repeated names and parses JSON in values, and each of these can widen a query.
import { Kind, TypeRegistry, type TUnsafe } from '@sinclair/typebox'
import { AppError } from '../errors.ts'
import { withoutNul } from '../model/text.ts'

const maxParameters = 200

/** 400 `bad_request` for a query with more parameters than any route reads; counted before anything is decoded. */
export const requireFewParameters = (search: string): void => {
  let parameters = 1
  for (let at = search.indexOf('&'); at >= 0; at = search.indexOf('&', at + 1)) {
    parameters += 1
    if (parameters > maxParameters)
      throw new AppError('bad_request', `A query has at most ${maxParameters} parameters`)
  }
}

export type Query = Record<string, string | string[]>

/** The parameters of a query: a name that occurs once is a string, a repeated one a list. Linear in the length. */
export const readQuery = (search: string): Query => {
  const query: Query = Object.create(null)
  if (search === '') return query
  for (const [name, value] of new URLSearchParams(search)) {
    const known = query[name]
    if (known === undefined) query[name] = value
    else if (Array.isArray(known)) known.push(value)
    else query[name] = [known, value]
  }
  return query
}

const Parameter = <T>(kind: string, schema: Record<string, unknown>): TUnsafe<T> => {
  // TypeBox distinguishes kinds by name and passes the schema itself as the options.
  const made = { [Kind]: kind, ...schema }
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- TypeBox reads only these members of a schema
  return made as unknown as TUnsafe<T>
}

interface WholeOptions {
  minimum: number
  maximum: number
  default?: number
  description?: string
}

/** A decimal whole number within limits; read it with `Number`. */
export const Whole = (options: WholeOptions): TUnsafe<string> =>
  Parameter('Whole', { type: 'integer', ...options })

TypeRegistry.Set<WholeOptions>(
  'Whole',
  ({ minimum, maximum, default: standard }, value) =>
    // Elysia sets the default before it validates: the only value here that is no text.
    (value !== undefined && value === standard) ||
    (typeof value === 'string' &&
      /^(0|[1-9]\d{0,14})$/.test(value) &&
      Number(value) >= minimum &&
      Number(value) <= maximum),
)

/** `true` or `false`; read it by comparing with 'true'. */
export const Flag = (description: string): TUnsafe<'true' | 'false'> =>
  Parameter('Flag', { type: 'boolean', description })

TypeRegistry.Set('Flag', (_schema, value) => value === 'true' || value === 'false')

interface WordsOptions {
  items: { enum: readonly string[] }
}

/** A comma list of words from a closed set; read it with `split(',')`. */
export const Words = (words: readonly string[], description: string): TUnsafe<string> =>
  Parameter('Words', {
    type: 'array',
    items: { type: 'string', enum: words },
    minItems: 1,
    style: 'form',
    explode: false,
    description,
  })

TypeRegistry.Set<WordsOptions>(
  'Words',
  (schema, value) =>
    typeof value === 'string' && value.split(',').every((word) => schema.items.enum.includes(word)),
)

/** A parameter that may be repeated; read it with `listOf`. Checked are the number of values, their lengths, and NUL. */
export const Repeatable = (
  items: Record<string, unknown>,
  maxItems: number,
  description: string,
): TUnsafe<string | string[]> =>
  Parameter('Repeatable', {
    type: 'array',
    items: { minLength: 1, pattern: withoutNul, ...items },
    minItems: 1,
    maxItems,
    description,
  })

TypeRegistry.Set<{ maxItems: number; items: { maxLength: number } }>('Repeatable', (schema, value) => {
  const values = Array.isArray(value) ? value : [value]
  return (
    values.length <= schema.maxItems &&
    values.every(
      (item) =>
        typeof item === 'string' &&
        item.length > 0 &&
        isAtMost(item, schema.items.maxLength) &&
        !item.includes('\0'),
    )
  )
})

/** Whether the text has at most this many code points; text far beyond is not walked. */
const isAtMost = (text: string, maxLength: number): boolean =>
  text.length <= maxLength || (text.length <= 2 * maxLength && Array.from(text).length <= maxLength)

export const listOf = (value: string | string[] | undefined): string[] =>
  value === undefined ? [] : Array.isArray(value) ? value : [value]

interface CursorOptions {
  maxLength: number
  description: string
}

/** A cursor of a server; an invalid one, also empty, too long or repeated, is 400 `bad_cursor`. */
export const Cursor = (options: CursorOptions): TUnsafe<string> =>
  Parameter('Cursor', { type: 'string', minLength: 1, ...options })

TypeRegistry.Set<CursorOptions>(
  'Cursor',
  ({ maxLength }, value) => typeof value === 'string' && value.length > 0 && value.length <= maxLength,
)

/** Of the document: positions that `parseCursor` reads, and no others. */
const cursorPattern = '^[a-z0-9]{4,32}\\.(?:0|[1-9][0-9]?)\\.(?:0|[1-9][0-9]{0,15})$'

/** Cursors that may be repeated; read them with `listOf` and parse each: only their number is checked. */
export const Cursors = (maxItems: number, description: string): TUnsafe<string | string[]> =>
  Parameter('Cursors', {
    type: 'array',
    items: { type: 'string', minLength: 1, pattern: cursorPattern },
    minItems: 1,
    maxItems,
    description,
  })

TypeRegistry.Set<{ maxItems: number }>(
  'Cursors',
  ({ maxItems }, value) => typeof value === 'string' || (Array.isArray(value) && value.length <= maxItems),
)
