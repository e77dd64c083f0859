// Every failure that is reported to clients. A code never changes and belongs to exactly one kind. Each edge translates
// an AppError once: HTTP to a status and problem+json, the socket to an error frame or a close code, a job to a retry or
// a final failure. Any other thrown value is a bug and is reported without detail.

/** The class of a failure; it determines the HTTP status. */
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
  range: 416,
  invalid: 422,
  rate_limited: 429,
  internal: 500,
  unavailable: 503,
} as const

/** The closed list of codes, each with its kind and the title of every problem with that code. */
export const codes = {
  malformed_json: ['bad_request', 'Malformed JSON'],
  unknown_parameter: ['bad_request', 'Unknown query parameter'],
  bad_cursor: ['bad_request', 'Invalid cursor'],
  bad_request: ['bad_request', 'Bad request'],
  unauthenticated: ['unauthenticated', 'Missing or invalid credentials'],
  token_expired: ['unauthenticated', 'Access token expired'],
  invalid_credentials: ['unauthenticated', 'Wrong e-mail address or password'],
  refresh_reused: ['unauthenticated', 'Refresh token reused; the session is revoked'],
  forbidden: ['forbidden', 'Forbidden'],
  insufficient_scope: ['forbidden', 'Insufficient token scope'],
  user_disabled: ['forbidden', 'Account disabled'],
  registration_closed: ['forbidden', 'Registration is closed'],
  invitation_required: ['forbidden', 'Registration needs an invitation'],
  origin_refused: ['forbidden', 'Origin not allowed'],
  not_found: ['not_found', 'Not found'],
  method_not_allowed: ['method_not_allowed', 'Method not allowed'],
  conflict: ['conflict', 'Conflict with the current state'],
  email_taken: ['conflict', 'E-mail address already in use'],
  id_taken: ['conflict', 'Id already in use'],
  inbox_fixed: ['conflict', 'Change not possible for the Inbox'],
  last_owner: ['conflict', 'A project needs at least one owner'],
  sole_owner: ['conflict', 'You are the only owner of a shared project'],
  last_admin: ['conflict', 'An active administrator has to remain'],
  project_archived: ['conflict', 'The project is archived and read-only'],
  already_member: ['conflict', 'User is already a member'],
  already_shared: ['conflict', 'Task is already shared with this user'],
  direct_upload_unavailable: ['conflict', 'Direct uploads are not available'],
  idempotency_in_flight: ['conflict', 'A request with this Idempotency-Key is in progress'],
  link_other_account: ['conflict', 'The link is of another account or address'],
  link_used: ['gone', 'The link was used already'],
  link_expired: ['gone', 'The link has expired'],
  upload_expired: ['gone', 'The upload has expired'],
  cursor_expired: ['gone', 'Cursor expired; read the snapshot'],
  version_conflict: ['precondition_failed', 'The resource has changed since the given version'],
  payload_too_large: ['too_large', 'Body too large'],
  file_too_large: ['too_large', 'File too large'],
  quota_exceeded: ['too_large', 'Storage quota exceeded'],
  unsupported_media_type: ['unsupported', 'Unsupported media type'],
  unsupported_type: ['unsupported', 'Type of file not allowed'],
  range_not_satisfiable: ['range', 'Range not satisfiable'],
  validation_failed: ['invalid', 'Validation failed'],
  link_invalid: ['invalid', 'The link is not valid'],
  user_not_found: ['invalid', 'User not found'],
  idempotency_key_reused: ['invalid', 'Idempotency-Key already used for another request'],
  rate_limited: ['rate_limited', 'Too many requests'],
  internal: ['internal', 'Internal server error'],
  unavailable: ['unavailable', 'Service unavailable; retry later'],
} as const satisfies Record<string, readonly [ErrorKind, string]>

export type ErrorCode = keyof typeof codes

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the keys of a closed list are its codes
export const errorCodes = Object.keys(codes) as ErrorCode[]

/** One violated rule: an RFC 6901 pointer into the body or the query, and the rule. */
export interface Violation {
  pointer: string
  detail: string
}

export interface ErrorDetails {
  /** Violated rules of a 422. */
  errors?: Violation[]
  /** Seconds until a retry may succeed; sent as `Retry-After`. */
  retryAfter?: number
  /** Further members of the problem document, such as `currentVersion`. Never secrets, never input. */
  extra?: Record<string, unknown>
}

export class AppError extends Error {
  override readonly name = 'AppError'
  readonly kind: ErrorKind
  readonly details: ErrorDetails

  /** @param message one sentence for the reader of the problem; it must not contain submitted values. */
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

/** 422 for one or more violated rules. */
export const invalid = (...errors: Violation[]): AppError =>
  new AppError('validation_failed', undefined, { errors })

/** 404, equal for a resource that does not exist and for one the caller may not read. */
export const notFound = (): AppError => new AppError('not_found')

/** 503 with `Retry-After`: a dependency is unavailable or the outcome of a COMMIT is unknown. */
export const unavailable = (cause?: unknown, retryAfter = 1): AppError =>
  new AppError('unavailable', undefined, { cause, retryAfter })

/** 503 with `Retry-After` for a full queue or budget or a missed deadline: nothing was done. @param message a constant. */
export const overloaded = (message: string): AppError =>
  new AppError('unavailable', message, { retryAfter: 1 })

/** Whether the failure is temporary: PostgreSQL or Redis is unavailable or slow, or the process is overloaded. */
export const isUnavailable = (error: unknown): error is AppError =>
  error instanceof AppError && error.kind === 'unavailable'

/** Whether a retry may succeed: the failure is temporary, or the caller has reached a rate limit. */
export const isTransient = (error: unknown): error is AppError =>
  isUnavailable(error) || (error instanceof AppError && error.kind === 'rate_limited')

/** The message of any thrown value, for logs only, without the credentials of URLs in it. */
export const messageOf = (error: unknown): string =>
  withoutCredentials(error instanceof Error ? error.message : String(error))

/** Replaces `redis://:secret@host` by `redis://[redacted]@host` everywhere in the text. */
export const withoutCredentials = (text: string): string =>
  text.replaceAll(/\b([a-z][a-z0-9+.-]{0,20}:\/\/)[^\s'"`<>]*@/gi, '$1[redacted]@')
