// The schema of text. Lengths count Unicode code points of the stored form: in NFC, and trimmed unless white space is
// content. NUL and lone surrogates are refused, because PostgreSQL refuses NUL and a lone surrogate is silently replaced.
import { Kind, Type, TypeRegistry, type TUnsafe } from '@sinclair/typebox'
import { canonicalText, composedText, isDotSegment, isVisible } from './text-form.ts'

interface TextOptions {
  /** With at least 1, the text must contain a visible character. */
  minLength?: number
  maxLength: number
  /** In NFC, not trimmed: surrounding white space is content and counts. */
  keepsSpace?: boolean
  /** Used exactly as sent, for secrets: surrounding white space counts. */
  untrimmed?: boolean
  /** The text is used in paths: dot segments are refused, because URL parsers remove them. */
  pathSegment?: boolean
  /** In the document, in place of the general pattern. The caller of the route enforces it. */
  pattern?: string
  format?: string
  description?: string
  examples?: string[]
}

/**
 * Texts with more code units are refused without reading their content: 8 for each allowed character (decomposed forms
 * and surrogate pairs) and 1,024 for surrounding white space.
 */
const maxUnits = (maxLength: number): number => 8 * maxLength + 1024

/** Why `value` is not acceptable, or null. A value far beyond its limit is not read. */
export const textFault = (
  value: string,
  { minLength = 0, maxLength, keepsSpace = false, untrimmed = false, pathSegment = false }: TextOptions,
): string | null => {
  const tooLong = `must have at most ${maxLength} characters`
  if (value.length > maxUnits(maxLength)) return tooLong
  if (value.includes('\0')) return 'must not contain NUL'
  if (!value.isWellFormed()) return 'must not contain lone surrogates'
  const text = untrimmed ? value : keepsSpace ? composedText(value) : canonicalText(value)
  // A code point is one or two code units, so only values near a limit are counted.
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

/** White space, controls and default-ignorable characters up to U+FFFF, as a regular expression class without \\p. */
const invisible =
  '\\u0000-\\u0020\\u007f-\\u00a0\\u00ad\\u034f\\u061c\\u115f\\u1160\\u1680\\u17b4\\u17b5\\u180b-\\u180f\\u2000-\\u200f\\u2028-\\u202f\\u205f-\\u206f\\u3000\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\ufff8'

/** For the OpenAPI document: without NUL, with something visible where the text is required. */
export const withoutNul = String.raw`^[^\u0000]*$`
const withVisible = String.raw`^[^\u0000]*[^${invisible}][^\u0000]*$`

/** Dot segments as URL parsers remove them. */
const dotSegment = String.raw`^\s*(?:[.\u2024\uff0e]|%2[eE]){1,2}\s*$`

/**
 * A string schema with these rules. The OpenAPI document has them as limits and a pattern; that lengths count the stored
 * form, and that lone surrogates are refused, JSON Schema cannot express.
 */
export const Text = (options: TextOptions): TUnsafe<string> =>
  Type.Unsafe<string>({
    [Kind]: 'Text',
    type: 'string',
    pattern: (options.minLength ?? 0) > 0 && !options.untrimmed ? withVisible : withoutNul,
    ...(options.pathSegment && { not: { pattern: dotSegment } }),
    ...options,
  })

/** Rules of `Text` that are no keywords of JSON Schema: documents leave them out. */
export const textRules = ['keepsSpace', 'untrimmed', 'pathSegment'] as const satisfies (keyof TextOptions)[]

const hexDigits = Buffer.from('0123456789abcdef')

/**
 * JSON in pure ASCII, which sockets send without transcoding. Escapes are written as bytes: a call for each character of a
 * replacement took 9 to 25 times as long, half of the CPU time of a bulk change of texts in other scripts.
 */
export const asciiJson = (value: unknown): string => {
  const json = JSON.stringify(value)
  // eslint-disable-next-line no-control-regex -- the range is ASCII itself
  if (/^[\x00-\x7f]*$/.test(json)) return json
  const bytes = Buffer.allocUnsafe(6 * json.length)
  let length = 0
  for (let index = 0; index < json.length; index += 1) {
    const unit = json.charCodeAt(index)
    if (unit < 0x80) {
      bytes[length] = unit
      length += 1
      continue
    }
    bytes[length] = 0x5c // \
    bytes[length + 1] = 0x75 // u
    bytes[length + 2] = hexDigits[unit >> 12]!
    bytes[length + 3] = hexDigits[(unit >> 8) & 15]!
    bytes[length + 4] = hexDigits[(unit >> 4) & 15]!
    bytes[length + 5] = hexDigits[unit & 15]!
    length += 6
  }
  return bytes.toString('latin1', 0, length)
}
