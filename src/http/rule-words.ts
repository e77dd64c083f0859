// The rule of each kind of schema in words for people, for the problems that name violations.
import { Kind, type TSchema } from '@sinclair/typebox'

/** The rule of a schema, in words. */
export const ruleOf = (schema: TSchema): string => {
  switch (schema[Kind]) {
    case 'Text':
      return 'must be text'
    case 'Word':
      return `must be one of ${String(schema['enum'].join(', '))}`
    case 'Words':
      return `must be a comma list of ${String(schema['items'].enum.join(', '))}`
    case 'Whole':
      return `must be one whole number from ${String(schema['minimum'])} to ${String(schema['maximum'])}`
    case 'DeclaredSize':
      return 'must be a whole number from 1'
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
