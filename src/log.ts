// Structured JSON logs on standard output, one line per event. Secrets, tokens and e-mail addresses are
// redacted by name here, and of an error only what cannot hold one is written, so that no call site has to
// remember it.
import pino from 'pino'
import { withoutCredentials } from './errors.ts'

export type Log = pino.Logger

/** Where a check puts what does not stop a start. */
export interface Warnings {
  warn(fields: object, message: string): void
}

const secret = [
  'password',
  'currentPassword',
  'token',
  'accessToken',
  'refreshToken',
  'authorization',
  'cookie',
  'email',
]

/** A line with this property is written once a minute at most for each value; the next one counts those left out. */
export interface Limited {
  oncePerMinute: string
}

const limitMs = 60_000
/** Keys are written in the code, so there are few; more than this is a mistake that must not grow. */
const maxKeys = 1_000

/** @param name the role that speaks; @param level a pino level, `silent` for none. */
export const createLog = (name: string, level: string): Log =>
  pino({
    name,
    level,
    redact: { paths: secret.flatMap((key) => [key, `*.${key}`]), censor: '[redacted]' },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    serializers: { err: describeError },
    hooks: { logMethod: limiting() },
  })

interface ErrorDescription {
  type: string
  message: string
  code?: string
  stack?: string
  cause?: ErrorDescription
}

const maxCauses = 5

/**
 * An error as the log has it. Errors of libraries carry what they were working on: ioredis the arguments of the
 * command (the password of AUTH), postgres.js the parameters and the values in the detail, fetch the URL. Only the four
 * fields below are taken over, by name.
 */
export const describeError = (error: unknown, depth = 1): ErrorDescription => {
  if (!(error instanceof Error)) return { type: typeof error, message: withoutCredentials(String(error)) }
  const code: unknown = Reflect.get(error, 'code')
  return {
    type: error.name,
    message: withoutCredentials(error.message),
    ...(typeof code === 'string' && { code }),
    ...(error.stack !== undefined && { stack: withoutCredentials(error.stack) }),
    ...(error.cause !== undefined &&
      error.cause !== null &&
      depth < maxCauses && { cause: describeError(error.cause, depth + 1) }),
  }
}

/** What an outage repeats for ever is logged once a minute, however many parts of the process meet it. */
const limiting = (): NonNullable<NonNullable<pino.LoggerOptions['hooks']>['logMethod']> => {
  const written = new Map<string, { at: number; left: number }>()
  return function limited(args, method) {
    const [fields, ...rest] = args
    if (!isLimited(fields)) {
      method.apply(this, args)
      return
    }
    const { oncePerMinute: key, ...own } = fields
    const now = performance.now()
    const last = written.get(key)
    if (last && now - last.at < limitMs) {
      last.left += 1
      return
    }
    if (written.size >= maxKeys) written.clear()
    written.set(key, { at: now, left: 0 })
    method.apply(this, [{ ...own, ...(last && last.left > 0 && { repeated: last.left }) }, ...rest])
  }
}

const isLimited = (fields: unknown): fields is Limited & Record<string, unknown> =>
  typeof fields === 'object' &&
  fields !== null &&
  'oncePerMinute' in fields &&
  typeof fields.oncePerMinute === 'string'
