// Exactly one violation of a schema, made in a value that fits it. Every alternative at every place of the value is as
// likely; whether the result is in fact invalid is decided by another validator than the server's.
import type { Draws } from './draws.ts'
import type { Api, Json, Schema } from './document.ts'
import { formatOf } from './values.ts'

export interface Violated {
  /** Where and how: `/title: too long`. */
  what: string
  value: Json
}

interface Candidate {
  what: string
  make: () => Json
}

type JsonObject = { [key: string]: Json }

const isObject = (value: Json): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** One of the violations that can be made in the value; null where there is none. */
export const violate = (
  draws: Draws,
  resolve: Api['resolve'],
  schema: Schema,
  value: Json,
): Violated | null => {
  const candidates = candidatesIn(resolve, schema, value, '')
  if (candidates.length === 0) return null
  const { what, make } = draws.pick(candidates)
  return { what, value: make() }
}

const candidatesIn = (resolve: Api['resolve'], given: Schema, value: Json, pointer: string): Candidate[] => {
  const schema = resolve(given)
  const here = (what: string, made: Json): Candidate => ({ what: `${pointer}: ${what}`, make: () => made })
  const others = wrongTypes(schema, resolve).map((made) => here(`${typeName(made)} in its place`, made))
  if (schema.anyOf) {
    const option = optionFor(resolve, schema.anyOf, value)
    return option
      ? candidatesIn(resolve, option, value, pointer)
          .filter(({ what }) => !what.endsWith('in its place'))
          .concat(others)
      : others
  }
  if (schema.enum)
    return [
      ...others,
      ...(typeof value === 'string'
        ? ['nonsense', '', `${value} `, value.toUpperCase(), `${value}\u0000`].map((made) =>
            here('outside of the enum', made),
          )
        : []),
    ]
  if (typeof value === 'string')
    return [...others, ...textViolations(schema, value).map(([what, made]) => here(what, made))]
  if (typeof value === 'number')
    return [...others, ...numberViolations(schema).map(([what, made]) => here(what, made))]
  if (Array.isArray(value)) return [...others, ...inArray(resolve, schema, value, pointer, here)]
  if (isObject(value)) return [...others, ...inObject(resolve, schema, value, pointer, here)]
  return others
}

type Here = (what: string, made: Json) => Candidate

const inObject = (
  resolve: Api['resolve'],
  schema: Schema,
  value: JsonObject,
  pointer: string,
  here: Here,
): Candidate[] => {
  const without = (name: string): Json =>
    Object.fromEntries(Object.entries(value).filter(([key]) => key !== name))
  const alternatives = schema.oneOf?.flatMap(({ required }) => required) ?? []
  const id = '01933b6e-7c4a-7d3e-8f21-5a9c0b7d1e42'
  return [
    ...(schema.additionalProperties === false
      ? ['unknown', 'ID', 'createdAt ', '__proto__', 'constructor', 'a/b~c', ''].map((name): Candidate => ({
          what: `${pointer}: an unknown member`,
          make: () =>
            JSON.parse(
              `${JSON.stringify(value).slice(0, -1)}${Object.keys(value).length > 0 ? ',' : ''}${JSON.stringify(name)}:1}`,
            ) as Json,
        }))
      : []),
    ...(schema.required ?? [])
      .filter((name) => name in value)
      .map((name) => here(`without ${name}`, without(name))),
    ...((schema.minProperties ?? 0) > 0 ? [here('no member', {})] : []),
    ...(alternatives.length > 0
      ? [
          here('all alternatives', { ...value, email: 'ada@example.com', userId: id }),
          here(
            'no alternative',
            Object.fromEntries(Object.entries(value).filter(([key]) => !alternatives.includes(key))),
          ),
        ]
      : []),
    ...(schema.not?.required
      ? [
          here('members that exclude each other', {
            ...value,
            ...Object.fromEntries(schema.not.required.map((name) => [name, id])),
          }),
        ]
      : []),
    ...Object.entries(value).flatMap(([name, inner]) => {
      const own = schema.properties?.[name]
      return own
        ? candidatesIn(resolve, own, inner, `${pointer}/${name}`).map(({ what, make }) => ({
            what,
            make: (): Json => ({ ...value, [name]: make() }),
          }))
        : []
    }),
  ]
}

const inArray = (
  resolve: Api['resolve'],
  schema: Schema,
  value: Json[],
  pointer: string,
  here: Here,
): Candidate[] => {
  const { minItems = 0, maxItems, items = {} } = schema
  const filler = value.at(-1) ?? '01933b6e-7c4a-7d3e-8f21-5a9c0b7d1e42'
  return [
    ...(minItems > 0 ? [here('too few items', value.slice(0, minItems - 1))] : []),
    ...(maxItems === undefined
      ? []
      : [maxItems + 1, maxItems * 20].map((length) =>
          here('too many items', [...value, ...Array<Json>(length).fill(filler)].slice(0, length)),
        )),
    ...value.slice(0, 3).flatMap((item, index) =>
      candidatesIn(resolve, items, item, `${pointer}/${index}`).map(({ what, make }) => ({
        what,
        make: (): Json => value.with(index, make()),
      })),
    ),
  ]
}

/** The alternative that the value was drawn from, as far as its type and its `op` tell. */
const optionFor = (resolve: Api['resolve'], options: Schema[], value: Json): Schema | undefined =>
  options.map(resolve).find((option) => {
    if (option.enum) return option.enum.includes(value)
    if (!isObject(value)) return option.type === jsonType(value)
    const op = option.properties?.['op']?.enum
    return option.type === 'object' && (op === undefined || op.includes(value['op'] ?? null))
  })

const jsonType = (value: Json): string =>
  value === null
    ? 'null'
    : Array.isArray(value)
      ? 'array'
      : typeof value === 'number'
        ? 'integer'
        : typeof value

const typeName = (value: Json): string =>
  value === null ? 'null' : Array.isArray(value) ? 'a list' : typeof value

const samples: Json[] = [null, true, 0, -1, 1.5, '', 'text', '1', [], [null], {}, { a: 1 }]

/** Values of other types than the schema allows. */
const wrongTypes = (schema: Schema, resolve: Api['resolve']): Json[] => {
  const options = (schema.anyOf ?? [schema]).map(resolve)
  const allowed = new Set(options.map(({ type }) => type))
  if (allowed.has(undefined)) return []
  return samples.filter((sample) => !allowed.has(jsonType(sample)))
}

/** The least text that is wrong for its format only. */
const badFormats: Record<string, string[]> = {
  uuid: [
    'x',
    '01933b6e7c4a7d3e8f215a9c0b7d1e42',
    '{01933b6e-7c4a-7d3e-8f21-5a9c0b7d1e42}',
    '01933b6e-7c4a-7d3e-8f21-5a9c0b7d1e4',
    '01933b6e-7c4a-7d3e-8f21-5a9c0b7d1e42 ',
    '01933b6e-7c4a-7d3e-8f21-5a9c0b7d1e4g',
  ],
  'date-time': [
    '2026-02-30T00:00:00Z',
    '2026-11-20',
    '2026-11-20T10:00:00',
    '2026-11-20 10:00:00Z',
    '2026-13-01T00:00:00Z',
    '2026-11-20T25:00:00Z',
    '2026-11-20T10:00:00+25:00',
    '20261120T100000Z',
    '1763632800000',
    'tomorrow',
    '2026-11-20T10:00Z',
    '+02026-11-20T10:00:00Z',
    '２０２６-11-20T10:00:00Z',
  ],
  'idn-email': [
    'ada',
    'ada@',
    '@example.com',
    'ada@@example.com',
    'a da@example.com',
    'ada@exa mple.com',
    'ada..b@example.com',
    '.ada@example.com',
    'ada.@example.com',
    'ada@-example.com',
    'ada@example-.com',
    'ada@example..com',
    'ada@example.com.',
    'ada@exam_ple.com',
    'ada@example.com,eve@example.com',
    'Ada <ada@example.com>',
    `${'a'.repeat(65)}@example.com`,
    `ada@${'b'.repeat(64)}.com`,
  ],
}

const textViolations = (schema: Schema, value: string): [string, Json][] => {
  const { minLength = 0, maxLength, pattern } = schema
  const format = formatOf(schema)
  const isText = pattern?.includes(String.raw`[^\u0000]*`) ?? false
  return [
    ...(minLength > 0 ? ([['too short', 'x'.repeat(minLength - 1)]] satisfies [string, Json][]) : []),
    ...(maxLength === undefined
      ? []
      : [maxLength + 1, maxLength * 3, maxLength + 40_000].map((length): [string, Json] => [
          'too long',
          'x'.repeat(length),
        ])),
    ...(format === undefined
      ? []
      : (badFormats[format] ?? []).map((text): [string, Json] => [`no ${format}`, text])),
    ...(isText
      ? ([
          ['with NUL', `${value.slice(0, 5)}\u0000`],
          ['with a lone surrogate', `${value.slice(0, 3)}\ud800`],
        ] satisfies [string, Json][])
      : []),
    ...(isText && minLength > 0 && pattern!.length > 40
      ? ['   ', '\u200b', '\u00ad\u2060', '\t\n', '\u3164'].map((text): [string, Json] => [
          'nothing visible',
          text.padEnd(minLength, ' '),
        ])
      : []),
    ...(pattern !== undefined && !isText && format === undefined
      ? ['', 'nonsense', `${value}\n`, `${value}x`, ` ${value}`].map((text): [string, Json] => [
          'outside of the pattern',
          text,
        ])
      : []),
    ...(schema.not?.pattern === undefined
      ? []
      : ['.', '..', '%2e', '．'].map((text): [string, Json] => ['a dot segment', text])),
  ]
}

const numberViolations = ({ type, minimum, maximum }: Schema): [string, Json][] => [
  ...(minimum === undefined
    ? []
    : [minimum - 1, -1e15, -0.5 + minimum].map((made): [string, Json] => ['below the minimum', made])),
  ...(maximum === undefined
    ? []
    : [maximum + 1, 1e21, Number.MAX_VALUE].map((made): [string, Json] => ['above the maximum', made])),
  ...(type === 'integer' ? ([['no whole number', 1.5]] satisfies [string, Json][]) : []),
]
