// Every failure a client can be told about. A code is stable for ever and belongs to exactly one kind; each
// edge translates an AppError once: HTTP to a status and problem+json, the socket to an error frame or a
// close code, a job to a retry or a final failure. Anything else that is thrown is a bug and stays opaque.

/** What went wrong in general; fixes the HTTP status. */
export type ErrorKind = keyof typeof statusOf

/** HTTP status of each kind. */
export const statusOf = {
  bad_request: 400,
  unauthenticated: 401,
  forbidden: 403,
  not_found: 404,
  method_not_allowed: 405,
  conflict: 409,
  gone: 410,
  precondition_failed: 412,
  too_large: 413,
  unsupported: 415,
  invalid: 422,
  rate_limited: 429,
  internal: 500,
  unavailable: 503,
} as const

/** The closed list of codes: kind and title (the sentence every occurrence shares). */
export const codes = {
  malformed_json: ['bad_request', 'The body is not valid JSON'],
  unknown_parameter: ['bad_request', 'The query has a parameter this route does not know'],
  bad_cursor: ['bad_request', 'The cursor does not belong to this query'],
  bad_request: ['bad_request', 'The request cannot be read'],
  unauthenticated: ['unauthenticated', 'Credentials are missing or wrong'],
  token_expired: ['unauthenticated', 'The access token has expired'],
  invalid_credentials: ['unauthenticated', 'E-mail or password is wrong'],
  refresh_reused: ['unauthenticated', 'The refresh token was used before; the session is revoked'],
  forbidden: ['forbidden', 'You may read this but not do that'],
  insufficient_scope: ['forbidden', 'The token lacks the scope this needs'],
  user_disabled: ['forbidden', 'The account is disabled'],
  origin_refused: ['forbidden', 'The Origin is not on the allow-list'],
  not_found: ['not_found', 'There is nothing here for you'],
  method_not_allowed: ['method_not_allowed', 'This path does not take that method'],
  conflict: ['conflict', 'The request conflicts with the current state'],
  email_taken: ['conflict', 'The e-mail address is taken'],
  id_taken: ['conflict', 'The id is taken'],
  inbox_fixed: ['conflict', 'The Inbox cannot be changed in that way'],
  last_owner: ['conflict', 'A project keeps at least one owner'],
  sole_owner: ['conflict', 'You are the only owner of a shared project'],
  project_archived: ['conflict', 'The project is archived and read-only'],
  already_member: ['conflict', 'The user is a member already'],
  already_shared: ['conflict', 'The task is shared with that user already'],
  idempotency_in_flight: ['conflict', 'A request with this Idempotency-Key is still running'],
  cursor_expired: ['gone', 'The cursor can no longer be resumed; read the snapshot'],
  version_conflict: ['precondition_failed', 'The resource has changed since the given version'],
  payload_too_large: ['too_large', 'The body is too large'],
  unsupported_media_type: ['unsupported', 'This route does not read that content type'],
  validation_failed: ['invalid', 'The request breaks a rule'],
  user_not_found: ['invalid', 'No such user'],
  idempotency_key_reused: ['invalid', 'The Idempotency-Key was used for another request'],
  rate_limited: ['rate_limited', 'Too many requests'],
  internal: ['internal', 'Something went wrong on our side'],
  unavailable: ['unavailable', 'A part this needs is away; try again'],
} as const satisfies Record<string, readonly [ErrorKind, string]>

export type ErrorCode = keyof typeof codes

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the keys of a closed list are its codes
export const errorCodes = Object.keys(codes) as ErrorCode[]

/** One broken rule: an RFC 6901 pointer into the body or the query, and what to do. */
export interface Violation {
  pointer: string
  detail: string
}

export interface ErrorDetails {
  /** Broken rules of a 422. */
  errors?: Violation[]
  /** Seconds until a retry makes sense; becomes `Retry-After`. */
  retryAfter?: number
  /** Further members of the problem document, such as `currentVersion`. Never secrets, never input. */
  extra?: Record<string, unknown>
}

export class AppError extends Error {
  override readonly name = 'AppError'
  readonly kind: ErrorKind
  readonly details: ErrorDetails

  /** @param message one sentence for the person who reads the answer; it must not echo what was submitted. */
  constructor(
    readonly code: ErrorCode,
    message?: string,
    options: ErrorDetails & { cause?: unknown } = {},
  ) {
    const { cause, ...details } = options
    super(message ?? codes[code][1], cause === undefined ? undefined : { cause })
    this.kind = codes[code][0]
    this.details = details
  }

  get status(): number {
    return statusOf[this.kind]
  }
}

/** 422 for one or more broken rules. */
export const invalid = (...errors: Violation[]): AppError =>
  new AppError('validation_failed', undefined, { errors })

/** 404, the same for what does not exist and for what the caller may not read. */
export const notFound = (): AppError => new AppError('not_found')

/** 503 with `Retry-After`: a dependency is away or the outcome of a COMMIT is unknown. */
export const unavailable = (cause?: unknown, retryAfter = 1): AppError =>
  new AppError('unavailable', undefined, { cause, retryAfter })

/** 503 with `Retry-After` for want of room or time: nothing failed and nothing was done. @param message a constant. */
export const overloaded = (message: string): AppError =>
  new AppError('unavailable', message, { retryAfter: 1 })

/** Whether it passes by itself: PostgreSQL or Redis is away or slow, or there is too much to do. */
export const isUnavailable = (error: unknown): error is AppError =>
  error instanceof AppError && error.kind === 'unavailable'

/** Whether the same is worth trying a moment later: it passes by itself, or the caller has too much under way. */
export const isTransient = (error: unknown): error is AppError =>
  isUnavailable(error) || (error instanceof AppError && error.kind === 'rate_limited')

/** The text of anything thrown, for logs only, without what URLs in it carry before their host. */
export const messageOf = (error: unknown): string =>
  withoutCredentials(error instanceof Error ? error.message : String(error))

/** `redis://:secret@host` becomes `redis://[redacted]@host`, wherever in the text. */
export const withoutCredentials = (text: string): string =>
  text.replaceAll(/\b([a-z][a-z0-9+.-]{0,20}:\/\/)[^\s'"`<>]*@/gi, '$1[redacted]@')
