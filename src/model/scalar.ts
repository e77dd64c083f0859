// Schemas of ids, instants and other single values. Each validates strictly: input that lenient parsers accept
// (2026-02-30, 0x10) is refused. The schemas accept the canonical spelling only, which `toCanonical` makes.
import { Kind, Type, TypeRegistry, type TUnsafe } from '@sinclair/typebox'

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const uuidV7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const anyUuid = new RegExp(uuid, 'i')
const uuidInside = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/gi
const instant =
  /^(\d{4})-(\d{2})-(\d{2})T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$/

/** The nil UUID (RFC 9562): sorts before every id, and nothing has it. */
export const nilId = '00000000-0000-0000-0000-000000000000'

export const isId = (value: unknown): value is string => typeof value === 'string' && uuid.test(value)

/** The id in lower case, its canonical form; other text unchanged. */
export const canonicalId = (text: string): string => (anyUuid.test(text) ? text.toLowerCase() : text)

/** Every id inside a text in lower case. */
export const lowerCaseIds = (text: string): string => text.replaceAll(uuidInside, (id) => id.toLowerCase())

/** RFC 3339 does not bound the digits of a fraction; longer text is not read. */
export const maxInstantLength = 64

/** Whether the text is an RFC 3339 date-time that exists in the calendar. */
export const isInstant = (value: unknown): value is string => {
  const match = typeof value === 'string' && value.length <= maxInstantLength ? instant.exec(value) : null
  if (!match) return false
  const [year, month, day] = [Number(match[1]), Number(match[2]), Number(match[3])]
  const utcYear = new Date(match[0]).getUTCFullYear() // an offset may move the year out of four digits
  return (
    utcYear > 0 &&
    utcYear < 10_000 &&
    month >= 1 &&
    month <= 12 &&
    day >= 1 &&
    day <= new Date(Date.UTC(year, month, 0)).getUTCDate()
  )
}

/** The canonical form of an instant: UTC with milliseconds. */
export const toInstant = (value: string): string => new Date(value).toISOString()

/** A new UUIDv7: ids sort by creation. */
export const newId = (): string => Bun.randomUUIDv7()

const isTimeZone = (value: string): boolean => {
  try {
    // An offset such as +01:00 is not a zone: it has no daylight saving time.
    return (
      value.length <= 64 &&
      /^[A-Za-z]/.test(value) &&
      Intl.DateTimeFormat('en', { timeZone: value }).resolvedOptions().timeZone === value // in its one spelling
    )
  } catch {
    return false
  }
}

TypeRegistry.Set('Id', (_schema, value) => isId(value))
TypeRegistry.Set('ClientId', (_schema, value) => typeof value === 'string' && uuidV7.test(value))
TypeRegistry.Set('Instant', (_schema, value) => isInstant(value))
TypeRegistry.Set('Sha256', (_schema, value) => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value))
TypeRegistry.Set('Day', (_schema, value) => typeof value === 'string' && /^\d{4}-\d{2}-\d{2}$/.test(value))
TypeRegistry.Set('TimeZone', (_schema, value) => typeof value === 'string' && isTimeZone(value))

export const Id = (description?: string): TUnsafe<string> =>
  Type.Unsafe<string>({ [Kind]: 'Id', type: 'string', format: 'uuid', ...(description && { description }) })

/** An id made by the client for creation while offline: a UUIDv7. */
export const ClientId = (description?: string): TUnsafe<string> =>
  Type.Unsafe<string>({
    [Kind]: 'ClientId',
    type: 'string',
    // Without `format: uuid`, which other versions fit, too.
    pattern: '^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-7[0-9A-Fa-f]{3}-[89ABab][0-9A-Fa-f]{3}-[0-9A-Fa-f]{12}$',
    examples: ['01933b6e-7c4a-7d3e-8f21-5a9c0b7d1e42'],
    ...(description && { description }),
  })

export const Instant = (description?: string): TUnsafe<string> =>
  Type.Unsafe<string>({
    [Kind]: 'Instant',
    type: 'string',
    format: 'date-time',
    ...(description && { description }),
  })

/** A SHA-256 in hexadecimal. */
export const Sha256 = (): TUnsafe<string> =>
  Type.Unsafe<string>({
    [Kind]: 'Sha256',
    type: 'string',
    pattern: '^[0-9a-f]{64}$',
    examples: ['2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824'],
  })

/** A calendar day, such as 2026-11-20. */
export const Day = (): TUnsafe<string> =>
  Type.Unsafe<string>({ [Kind]: 'Day', type: 'string', format: 'date', examples: ['2026-11-20'] })

/** Names that the IANA database prefers and that CLDR, which the runtime lists its zones by, spells in an older way. */
const preferredZones = [
  'Africa/Asmara',
  'America/Argentina/Buenos_Aires',
  'America/Argentina/Catamarca',
  'America/Argentina/Cordoba',
  'America/Argentina/Jujuy',
  'America/Argentina/Mendoza',
  'America/Atikokan',
  'America/Indiana/Indianapolis',
  'America/Kentucky/Louisville',
  'America/Nuuk',
  'Asia/Ho_Chi_Minh',
  'Asia/Kathmandu',
  'Asia/Kolkata',
  'Asia/Yangon',
  'Atlantic/Faroe',
  'Etc/GMT',
  'Etc/UTC',
  'Europe/Kyiv',
  'GMT',
  'Pacific/Chuuk',
  'Pacific/Kanton',
  'Pacific/Pohnpei',
]

/** The names that the document lists. A function: checking them takes 20 ms, which no start of a process should wait for. */
export const listTimeZones = (): string[] =>
  [...new Set([...Intl.supportedValuesOf('timeZone'), ...preferredZones.filter(isTimeZone)])].toSorted()

/**
 * An IANA time zone name. Further ones that the IANA database links to the listed ones are accepted, too.
 * No `default`: Elysia would write it into bodies, and a patch of another field would reset the zone.
 */
export const TimeZone = Type.Unsafe<string>({
  [Kind]: 'TimeZone',
  type: 'string',
  description: 'An IANA name. Further names that the IANA database links to these are accepted, too.',
  examples: ['Europe/Berlin'],
})

export const Nullable = <T>(schema: TUnsafe<T>) => Type.Union([schema, Type.Null()])

/** One word of a closed list. */
export const Word = <const T extends string>(...words: T[]): TUnsafe<T> =>
  Type.Unsafe<T>({ [Kind]: 'Word', type: 'string', enum: words })

TypeRegistry.Set<{ enum: string[] }>(
  'Word',
  (schema, value) => typeof value === 'string' && schema.enum.includes(value),
)
