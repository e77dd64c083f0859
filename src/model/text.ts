// Text as people write it. Lengths count Unicode code points of the trimmed value in NFC; NUL and lone surrogates
// are refused, because PostgreSQL refuses the one and silently replaces the other.
import { Kind, Type, TypeRegistry, type TUnsafe } from '@sinclair/typebox'
import { canonicalText, isDotSegment, isVisible } from './text-form.ts'

interface TextOptions {
  /** Text that is required has something visible in it. */
  minLength?: number
  maxLength: number
  /** Taken to the letter, as secrets are: spaces around it count. */
  untrimmed?: boolean
  /** It becomes part of a path: dot segments are refused, because URL parsers take them out. */
  pathSegment?: boolean
  description?: string
  examples?: string[]
}

/**
 * Code units beyond which a text is refused by its length alone, before its content is read: 8 for each allowed
 * character (decomposed forms and surrogate pairs) and 1,024 for surrounding space.
 */
const maxUnits = (maxLength: number): number => 8 * maxLength + 1024

/** Why `value` is no acceptable text, or null. A value far beyond its limit is not walked. */
export const textFault = (
  value: string,
  { minLength = 0, maxLength, untrimmed = false, pathSegment = false }: TextOptions,
): string | null => {
  const tooLong = `must have at most ${maxLength} characters`
  if (value.length > maxUnits(maxLength)) return tooLong
  if (value.includes('\0')) return 'must not contain NUL'
  if (!value.isWellFormed()) return 'must not contain lone surrogates'
  const text = untrimmed ? value : canonicalText(value)
  // A code point is one or two code units, so that only values near a limit need counting.
  const units = text.length
  const length = units <= maxLength && units >= 2 * minLength ? units : Array.from(text).length
  if (length > maxLength) return tooLong
  if (length < minLength)
    return minLength === 1 ? 'must not be empty' : `must have at least ${minLength} characters`
  if (minLength > 0 && !untrimmed && !isVisible(text)) return 'must contain something visible'
  if (pathSegment && isDotSegment(text)) return 'must not be a dot segment of a path'
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
