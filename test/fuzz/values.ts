// Values that a schema allows. What the schema cannot say, a hint may: ids that exist, the password of the caller.
import {
  constantFrom,
  date as anyDate,
  double,
  integer,
  jsonValue,
  oneof,
  string,
  stringMatching,
  tuple,
  type Arbitrary,
} from 'fast-check'
import type { Draws } from './draws.ts'
import type { Api, Json, Schema } from './document.ts'

/** A value for a member or parameter of this name; undefined to draw from the schema alone. */
export type Hint = (name: string, schema: Schema) => Json | undefined

export interface ValueDeps {
  draws: Draws
  resolve: Api['resolve']
  hint: Hint
}

const hintShare = 0.85
const optionalShare = 0.45

export const valueOf = (deps: ValueDeps, given: Schema, name = ''): Json => {
  const { draws, resolve, hint } = deps
  const schema = resolve(given)
  if (name !== '' && draws.chance(hintShare)) {
    const hinted = hint(name, schema)
    if (hinted !== undefined) return hinted
  }
  if (schema.anyOf) return valueOf(deps, draws.pick(schema.anyOf), name)
  if (schema.enum) return draws.pick(schema.enum)
  if (schema.const !== undefined) return schema.const
  switch (schema.type) {
    case 'object':
      return objectOf(deps, schema)
    case 'array':
      return arrayOf(deps, schema, name)
    case 'string':
      return textOf(draws, schema)
    case 'integer':
      return integerOf(draws, schema)
    case 'number':
      return draws.value(double({ noNaN: true, noDefaultInfinity: true }))
    case 'boolean':
      return draws.chance(0.5)
    case 'null':
      return null
    default:
      return draws.value(jsonValue({ maxDepth: 2 })) as Json
  }
}

const objectOf = (deps: ValueDeps, schema: Schema): Json => {
  const { draws } = deps
  const properties = Object.entries(schema.properties ?? {})
  const required = new Set([
    ...(schema.required ?? []),
    ...(schema.oneOf ? draws.pick(schema.oneOf).required : []),
  ])
  const alternatives = new Set(schema.oneOf?.flatMap((option) => option.required))
  const forbidden = schema.not?.required ? draws.pick(schema.not.required) : null
  const chosen = properties.filter(
    ([name]) =>
      required.has(name) || (!alternatives.has(name) && name !== forbidden && draws.chance(optionalShare)),
  )
  if (chosen.length < (schema.minProperties ?? 0)) chosen.push(draws.pick(properties))
  return Object.fromEntries(chosen.map(([name, inner]) => [name, valueOf(deps, inner, name)]))
}

const arrayOf = (deps: ValueDeps, schema: Schema, name: string): Json => {
  const { draws } = deps
  const least = schema.minItems ?? 0
  const most = schema.maxItems ?? 5
  const length = draws.chance(0.02) ? most : draws.between(least, Math.min(most, least + 3))
  // The items of `ids` are drawn by the hint for `id`.
  return Array.from({ length }, () => valueOf(deps, schema.items ?? {}, `${name}[]`))
}

const integerOf = (draws: Draws, { minimum, maximum }: Schema): number => {
  const [least, most] = [minimum ?? -1_000_000, maximum ?? 1_000_000]
  return draws.chance(0.2)
    ? draws.pick([least, most])
    : draws.value(integer({ min: least, max: Math.min(most, least + 10_000) }))
}

/** The stored form, whose length the limits count. */
const lengthOf = (text: string): number => Array.from(text.normalize('NFC').trim()).length

/** Default-ignorable characters beyond U+FFFF fit the pattern of the document, which many tools read by code units. */
const isVisible = (text: string): boolean => /[^\p{White_Space}\p{Cc}\p{DI}]/u.test(text)

export const fitsText = (schema: Schema, text: string): boolean =>
  lengthOf(text) <= (schema.maxLength ?? Infinity) &&
  Array.from(text).length <= (schema.maxLength ?? Infinity) &&
  lengthOf(text) >= (schema.minLength ?? 0) &&
  ((schema.minLength ?? 0) === 0 || isVisible(text)) &&
  (schema.pattern === undefined || new RegExp(schema.pattern, 'u').test(text)) &&
  (schema.not?.pattern === undefined || !new RegExp(schema.not.pattern, 'u').test(text))

/** Addresses have a pattern in place of a format. */
export const formatOf = ({ format, pattern }: Schema): string | undefined =>
  format ?? (pattern?.includes(')*@') ? 'idn-email' : undefined)

const units = ['grapheme', 'binary', 'grapheme-ascii', 'binary-ascii'] as const

const textOf = (draws: Draws, schema: Schema): string => {
  const { minLength = 0, maxLength = 60, pattern } = schema
  const format = formatOf(schema)
  if (format !== undefined) {
    const made = formats[format]
    if (!made) throw new Error(`no generator for the format ${format}`)
    return draws.value(made)
  }
  if (draws.chance(0.1)) {
    const edge = draws.pick(['a', 'é', '😀', '日']).repeat(draws.pick([minLength, maxLength]))
    if (fitsText(schema, edge)) return edge
  }
  const isGeneral = pattern === undefined || pattern.includes(String.raw`[^\u0000]*`)
  const arbitrary = isGeneral
    ? string({ unit: draws.pick(units), minLength, maxLength: Math.min(maxLength, minLength + 40) })
    : stringMatching(new RegExp(pattern, 'u'))
  for (let tries = 0; tries < 20; tries += 1) {
    const text = draws.value(arbitrary)
    if (fitsText(schema, text)) return text
  }
  return 'x'.repeat(Math.max(1, minLength))
}

const hex = stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-[1-7][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
const local = stringMatching(/^[a-z0-9!#$%&'*+/=?^_`{|}~-]{1,20}(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]{1,10})?$/)
const domain = stringMatching(/^[a-z0-9]{1,20}(?:-[a-z0-9]{1,5})?\.(?:com|org|example|test)$/)
const offset = constantFrom('Z', 'z', '+00:00', '-00:00', '+05:30', '-11:00', '+14:00')
const fraction = constantFrom('', '.0', '.123', '.999999', '.123456789', '.1234567890123')

/** How a value of each format of the document is drawn. */
const formats: Record<string, Arbitrary<string>> = {
  uuid: oneof(
    hex,
    hex.map((id) => id.toUpperCase()),
  ),
  'idn-email': oneof(
    tuple(local, domain).map(([name, host]) => `${name}@${host}`),
    tuple(local, domain).map(([name, host]) => `é${name}@ü${host}`),
  ),
  'date-time': tuple(
    anyDate({ min: new Date('0100-01-01'), max: new Date('9990-01-01'), noInvalidDate: true }),
    fraction,
    offset,
  ).map(([date, digits, zone]) => date.toISOString().replace(/\.\d{3}Z$/, digits + zone)),
}
