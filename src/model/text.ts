// Text as people write it. Lengths count Unicode code points of the trimmed value; NUL and lone surrogates are
// refused, because PostgreSQL refuses the one and silently replaces the other.
import { Kind, Type, TypeRegistry, type TUnsafe } from '@sinclair/typebox'

interface TextOptions {
  minLength?: number
  maxLength: number
  /** Taken to the letter, as secrets are: spaces around it count. */
  untrimmed?: boolean
  description?: string
  examples?: string[]
}

/**
 * Code units beyond which a text is refused by its length alone, before its content is read: 8 for each allowed
 * character (decomposed forms and surrogate pairs) and 1,024 for surrounding space.
 */
const maxUnits = (maxLength: number): number => 8 * maxLength + 1024

/** Why `value` is no acceptable text, or null. */
export const textFault = (
  value: string,
  { minLength = 0, maxLength, untrimmed }: TextOptions,
): string | null => {
  if (value.length > maxUnits(maxLength)) return `must have at most ${maxLength} characters`
  if (value.includes('\0')) return 'must not contain NUL'
  if (!value.isWellFormed()) return 'must not contain lone surrogates'
  const trimmed = untrimmed ? value : value.trim()
  // A code point is one or two code units, so that only values near a limit need counting.
  const units = trimmed.length
  const length = units <= maxLength && units >= 2 * minLength ? units : Array.from(trimmed).length
  if (length > maxLength) return `must have at most ${maxLength} characters`
  if (length < minLength)
    return minLength === 1 ? 'must not be empty' : `must have at least ${minLength} characters`
  return null
}

TypeRegistry.Set<TextOptions>(
  'Text',
  (schema, value) => typeof value === 'string' && textFault(value, schema) === null,
)

/** A string schema with those rules; in the OpenAPI document it is a plain string with the same limits. */
export const Text = (options: TextOptions): TUnsafe<string> =>
  Type.Unsafe<string>({ [Kind]: 'Text', type: 'string', ...options })

/** The same text as JSON in pure ASCII: what a socket can send without transcoding. */
export const asciiJson = (value: unknown): string => {
  const json = JSON.stringify(value)
  // eslint-disable-next-line no-control-regex -- the range is ASCII itself
  return /^[\x00-\x7f]*$/.test(json)
    ? json
    : json.replace(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
