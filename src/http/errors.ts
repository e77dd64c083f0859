// Translates any value thrown during a request to problem+json (RFC 9457). It never throws, never contains submitted
// values, and gives no detail of an error that is not an AppError.
import { NotFoundError } from 'elysia'
import { AppError, codes, messageOf, isUnavailable } from '../errors.ts'
import { codeOfError } from '../start/failure.ts'
import type { Log } from '../log.ts'
import type { RequestContext } from './request-context.ts'
import type { Answer } from './response.ts'

/** The AppError for any value that was thrown. Elysia throws only for what its own router does not find. */
export const toAppError = (error: unknown): AppError => {
  if (error instanceof AppError) return error
  if (error instanceof NotFoundError) return new AppError('not_found')
  return new AppError('internal', undefined, { cause: error })
}

/** Whether a browser opens a page, which shows no problem but the page it is sent to. */
const isNavigation = ({ headers }: Request): boolean => headers.get('accept')?.includes('text/html') ?? false

/**
 * The problem answer for an error. A 5xx is logged with its cause, which the answer does not contain. A 503 without a
 * cause is an overload: a warning without a stack, once a minute for each message.
 */
export const problemAnswer = (
  thrown: unknown,
  context: Pick<RequestContext, 'id' | 'path' | 'request' | 'trace' | 'traits'>,
  log: Log,
): Answer => {
  const { id, path, request, traits } = context
  const error = toAppError(thrown)
  if (error.status === 401 && traits.signInPage !== null && isNavigation(request))
    return { status: 303, headers: { Location: traits.signInPage, 'Cache-Control': 'no-store' }, body: null }
  if (isUnavailable(error) && error.cause === undefined) {
    // Overload, not a failure: a client that sends too much must not fill the log.
    const fields = {
      requestId: id,
      ...context.trace,
      code: error.code,
      oncePerMinute: `503 ${error.message}`,
    }
    log.warn(fields, error.message)
  } else if (error.status >= 500) {
    const fields = { err: error, requestId: id, ...context.trace, code: error.code }
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
    instance: path,
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
  if (typeof extra?.['size'] === 'number') headers['Content-Range'] = `bytes */${extra['size']}`
  if (Array.isArray(extra?.['allow'])) headers['Allow'] = extra['allow'].join(', ')
  return { status: error.status, headers, body: JSON.stringify(body) }
}
