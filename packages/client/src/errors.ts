// The errors of the client. Each message names what happened, the most likely cause, and what to do.
import type { ErrorCode, Problem } from './http/problem.ts'

/** The server answered with a problem (RFC 9457). */
export class ApiError extends Error {
  override readonly name: string = 'ApiError'
  readonly status: number
  /** Stable, such as `validation_failed`; `unreadable` where the answer was no problem of this server. */
  readonly code: ErrorCode
  /** Also in the log of the server. */
  readonly requestId: string | null
  /** Milliseconds the server asks to wait, or null. */
  readonly retryAfterMs: number | null

  constructor(
    readonly problem: Problem,
    retryAfterMs: number | null = null,
  ) {
    super(explain(problem))
    this.status = problem.status
    this.code = problem.code
    this.requestId = problem.requestId ?? null
    this.retryAfterMs = retryAfterMs
  }
}

/**
 * 403 `origin_refused`: the server accepts no cookies from pages of this origin, so the session cannot be renewed
 * although it is not over. Repeating does not help; `client.reconnect()` tries again once the server is configured.
 */
export class OriginRefusedError extends ApiError {
  override readonly name = 'OriginRefusedError'
}

/** 412: it was changed meanwhile. Has both sides, so that the user or a rule can decide. */
export class ConflictError<T = unknown> extends ApiError {
  override readonly name = 'ConflictError'

  constructor(
    problem: Problem,
    /** What was to be written, on top of which version. */
    readonly mine: { version: number; changes: unknown },
    /** What is there now; null if it was deleted meanwhile. */
    readonly theirs: T | null,
    /** Whether `onConflict` was asked about it and answered `theirs`: the program knows of it. */
    readonly isDecided = false,
  ) {
    super(problem)
  }
}

/** No answer of the server arrived: it or the network is down, the deadline passed, or a page answered. The outcome is unknown. */
export class NetworkError extends Error {
  override readonly name = 'NetworkError'

  constructor(method: string, url: string, cause: unknown) {
    const name = cause instanceof Error ? cause.name : ''
    const known = name === 'TimeoutError' ? lateText : name === 'NotJsonError' ? foreignText : null
    super(`${method} ${url} ${known ?? (isOffline() ? offlineText : lostText)}`, { cause })
  }
}

const lateText = 'was not answered in time; the server is overloaded or something between swallows packets'
const foreignText = 'was not answered by Tasktide, but by a page, a proxy or a portal at this address'
const offlineText = 'could not be sent; the device is offline'
const lostText =
  "could not be sent; the device is offline, the server is down, or it does not allow this page's origin (ALLOWED_ORIGINS; for the object store, the CORS rule of the bucket)"

/** What the browser reports; other runtimes report nothing. */
const isOffline = (): boolean =>
  typeof navigator !== 'undefined' && 'onLine' in navigator && !navigator.onLine

/**
 * The object store refused a direct upload, and a repeat of the request would be refused too. Nothing was attached; call
 * `uploadDirectly` again.
 */
export class UploadRefusedError extends Error {
  override readonly name = 'UploadRefusedError'

  constructor(
    origin: string,
    /** Of the store's answer. */
    readonly status: number,
    /** When the store answered, by its clock; by that of this machine where it does not say. */
    readonly answeredAt: Date = new Date(),
  ) {
    super(
      `${origin} refused the upload with ${status}; the signed URL has expired (after an hour), or a proxy changed the request`,
    )
  }
}

/**
 * The signed URL of a direct upload has expired, an hour after it was made, before the file was stored and announced.
 * Nothing was attached, and no repeat of this upload can succeed: begin another one, without the `key` of this one.
 */
export class UploadExpiredError extends Error {
  override readonly name = 'UploadExpiredError'

  constructor(
    /** Of the upload. */
    readonly id: string,
    readonly expiresAt: string,
    cause: unknown,
  ) {
    super(
      `The upload ${id} has expired (at ${expiresAt}); nothing was attached. Call uploadDirectly again, with another key or without one`,
      { cause },
    )
  }
}

/** The program gave what no request can carry; nothing was sent. */
export class InvalidArgumentError extends Error {
  override readonly name = 'InvalidArgumentError'
}

/** There are no credentials that work: sign in again. */
export class SignedOutError extends Error {
  override readonly name = 'SignedOutError'

  constructor(cause?: unknown) {
    super(
      cause === undefined
        ? 'No one is signed in: call client.auth.signIn, or create the client with a token'
        : 'The session is over: it was revoked, expired, or its refresh token was used elsewhere; sign in again',
      { cause },
    )
  }
}

/** Live data ended and will not come back by itself. */
export class StoppedError extends Error {
  override readonly name = 'StoppedError'

  constructor(
    /** Why: a word for programs. */
    readonly reason: StopReason,
    /** The close code of the socket, or null. */
    readonly closeCode: number | null = null,
    cause?: unknown,
  ) {
    super(`${stopTexts[reason]}${closeCode === null ? '' : ` (close code ${closeCode})`}`, { cause })
  }
}

export type StopReason = keyof typeof stopTexts

const stopTexts = {
  closed: 'The view was closed by this program',
  not_found: 'The scope does not exist, or is not this person’s to read',
  revoked: 'The right to read this was taken away, or it was deleted; what was held is purged',
  signed_out: 'The session is over; sign in, then open it again',
  origin_refused:
    'The server accepts no cookies from pages of this origin: add it to ALLOWED_ORIGINS of the server, call client.reconnect() and open it again',
  too_many_connections:
    'This person has too many connections and this was the oldest; close other tabs, call client.reconnect() and open it again',
  too_large:
    'A frame was larger than the server takes, probably a signal; call client.reconnect() and open it again',
  protocol: 'Server and client do not understand each other; one of them is probably out of date',
  limit: 'Too many scopes are followed at once (the server takes 64); close views that are not shown',
  refused: 'The server refuses to serve this; its error is the cause',
} as const

/** The queue of unsent writes is full, or its storage failed; the write was not made. */
export class OutboxError extends Error {
  override readonly name = 'OutboxError'
}

const explain = ({ code, detail, errors }: Problem): string => {
  const faults = errors?.map(({ pointer, detail }) => `${pointer || 'the body'} ${detail}`).join('; ')
  return `${detail}${faults ? `: ${faults}` : ''} (${code})`
}
