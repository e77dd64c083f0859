// Whatever a request threw becomes one problem+json (RFC 9457) here. Total: it never throws itself, never
// echoes what was submitted, and tells nothing of what is not an AppError.
import { Kind, type TSchema } from '@sinclair/typebox'
import { Errors } from '@sinclair/typebox/errors'
import { NotFoundError, ParseError, ValidationError } from 'elysia'
import { AppError, codes, messageOf, type Violation } from '../errors.ts'
import type { Log } from '../log.ts'
import { textFault } from '../model/text.ts'
import { factsOf, pathOf } from './request.ts'

export const maxViolations = 20

/** The AppError behind anything a hook or handler threw. */
export const toAppError = (error: unknown): AppError => {
  if (error instanceof AppError) return error
  if (error instanceof ParseError)
    return error.cause instanceof AppError
      ? error.cause
      : new AppError('malformed_json', undefined, { cause: error })
  if (error instanceof NotFoundError) return new AppError('not_found')
  if (error instanceof ValidationError) return fromValidation(error)
  return new AppError('internal', undefined, { cause: error })
}

const fromValidation = (error: ValidationError): AppError => {
  if (error.type === 'response') return new AppError('internal', undefined, { cause: error })
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- Elysia does not type the validator it compiled
  const validator = error.validator as { Errors(value: unknown): Iterable<Fault> }
  const found = violations(validator.Errors(error.value))
  if (error.type !== 'query')
    return error.type === 'params'
      ? new AppError('not_found')
      : new AppError('validation_failed', undefined, { errors: found })
  const unknown = found.some((violation) => violation.detail === unknownText)
  return new AppError(unknown ? 'unknown_parameter' : 'validation_failed', undefined, { errors: found })
}

const unknownText = 'is unknown here'

interface Fault {
  path: string
  message: string
  schema: TSchema
  value: unknown
}

/** What is wrong with a part of a body whose schema depends on another part; pointers go on from `pointer`. */
export const faultsIn = (schema: TSchema, value: unknown, pointer: string): Violation[] =>
  violations(Errors(schema, value)).map((found) => ({ ...found, pointer: pointer + found.pointer }))

const violations = (faults: Iterable<Fault>): Violation[] => {
  const seen = new Map<string, Violation>()
  for (const fault of faults) {
    const pointer = fault.path.slice(0, 200)
    if (!seen.has(pointer)) seen.set(pointer, { pointer, detail: explain(fault) })
    if (seen.size === maxViolations) break
  }
  return [...seen.values()]
}

const explain = ({ message, schema, value }: Fault): string => {
  if (message === 'Unexpected property') return unknownText
  if (message.endsWith('equired property')) return 'is required'
  const alternatives: TSchema[] | undefined = schema['anyOf']
  const plain = alternatives?.find((option) => option['type'] !== 'null') ?? schema
  const nullable = alternatives?.some((option) => option['type'] === 'null') ? ' or null' : ''
  return `${rule(plain, value) ?? `is not as documented: ${message.toLowerCase()}`}${nullable}`
}

/** What a value of our own kinds must be; null for kinds whose standard message says it. */
const rule = (schema: TSchema, value: unknown): string | null => {
  switch (schema[Kind]) {
    case 'Text':
      return typeof value === 'string' ? textFault(value, { maxLength: Infinity, ...schema }) : 'must be text'
    case 'Word':
      return `must be one of ${String(schema['enum'].join(', '))}`
    case 'Words':
      return `must be a comma list of ${String(schema['items'].enum.join(', '))}`
    case 'Whole':
      return `must be one whole number from ${String(schema['minimum'])} to ${String(schema['maximum'])}`
    case 'Flag':
      return 'must be true or false'
    case 'Id':
      return 'must be a lower-case UUID'
    case 'ClientId':
      return 'must be a lower-case UUIDv7'
    case 'Instant':
      return 'must be an RFC 3339 date-time that exists, such as 2026-11-20T10:00:00.000Z'
    case 'TimeZone':
      return 'must be an IANA time zone such as Europe/Berlin'
    case 'Repeatable':
      return `must be given at most ${String(schema['maxItems'])} times and never be empty`
    default:
      return null
  }
}

/** The answer for an error; 5xx are logged with their cause, which the answer never shows. */
export const problem = (thrown: unknown, request: Request, log: Log): Response => {
  const error = toAppError(thrown)
  const { id } = factsOf(request)
  if (error.status >= 500)
    log.error({ err: error, requestId: id, code: error.code }, messageOf(error.cause ?? error))
  const { errors, retryAfter, extra } = error.details
  const body = {
    type: `/problems/${error.code}`,
    title: codes[error.code][1],
    status: error.status,
    detail: error.status >= 500 ? codes[error.code][1] : error.message,
    instance: pathOf(request),
    code: error.code,
    requestId: id,
    ...(errors && { errors }),
    ...extra,
  }
  const headers: Record<string, string> = {
    'Content-Type': 'application/problem+json',
    'Cache-Control': 'no-store',
  }
  if (retryAfter !== undefined) headers['Retry-After'] = String(Math.max(1, Math.ceil(retryAfter)))
  if (error.status === 401) headers['WWW-Authenticate'] = 'Bearer'
  if (Array.isArray(extra?.['allow'])) headers['Allow'] = extra['allow'].join(', ')
  return new Response(JSON.stringify(body), { status: error.status, headers })
}
