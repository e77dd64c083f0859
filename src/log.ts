// Structured JSON logs on standard output, one line per event. Secrets, tokens and e-mail addresses are
// redacted by name here, and of an error only what cannot hold one is written, so that no call site has to
// remember it.
import pino from 'pino'
import { withoutCredentials } from './errors.ts'

export type Log = pino.Logger

/** Receives the problems of a check that do not stop the start. */
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

/** A line with this property is written at most once a minute for each value; the next one counts the omitted lines. */
export interface Limited {
  oncePerMinute: string
}

const limitMs = 60_000
/** Keys are literals in the code, so there are few; the bound keeps a mistake from growing. */
const maxKeys = 1_000

/** @param name of the role; @param level a pino level, `silent` for none. */
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
 * An error as the log writes it. Errors of libraries carry their input: ioredis the arguments of the command (the
 * password of AUTH), postgres.js the parameters and the values in the detail, fetch the URL. Only the four fields below
 * are copied, by name.
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

/** Limits lines that an outage repeats to one a minute, however many parts of the process log them. */
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
