// Translates any value thrown during a request to problem+json (RFC 9457). It never throws, never contains submitted
// values, and gives no detail of an error that is not an AppError.
import { NotFoundError, ParseError, ValidationError } from 'elysia'
import { AppError, codes, messageOf, isUnavailable } from '../errors.ts'
import { codeOfError } from '../start/failure.ts'
import type { Log } from '../log.ts'
import { contextOf, pathOf } from './request-context.ts'

/** The AppError for any value that a hook or handler threw. */
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

/**
 * Requests are checked by `checkRequest` before Elysia validates them, so that only a response can fail here. An
 * error of another type keeps no cause: Elysia's message quotes the submitted value.
 */
const fromValidation = (error: ValidationError): AppError =>
  error.type === 'response'
    ? new AppError('internal', undefined, {
        cause: new Error(`the response violates its schema at ${pathsOf(error)}`),
      })
    : new AppError('validation_failed')

/** Paths without values: Elysia's own message quotes the whole response, with addresses and tokens. */
const pathsOf = (error: ValidationError): string =>
  error.all
    .slice(0, 5)
    .map((fault) => ('path' in fault ? fault.path : ''))
    .join(', ')

/**
 * The problem answer for an error. A 5xx is logged with its cause, which the answer does not contain. A 503 without a
 * cause is an overload: a warning without a stack, once a minute for each message.
 */
export const problemAnswer = (thrown: unknown, request: Request, log: Log): Response => {
  const error = toAppError(thrown)
  const { id } = contextOf(request)
  if (isUnavailable(error) && error.cause === undefined) {
    // Overload, not a failure: a client that sends too much must not fill the log.
    const fields = { requestId: id, code: error.code, oncePerMinute: `503 ${error.message}` }
    log.warn(fields, error.message)
  } else if (error.status >= 500) {
    const fields = { err: error, requestId: id, code: error.code }
    // While a dependency is unavailable every request fails for the same reason.
    const limit = isUnavailable(error) ? { oncePerMinute: `503 ${codeOfError(error.cause)}` } : {}
    log.error({ ...fields, ...limit }, messageOf(error.cause ?? error))
  }
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
