// Structured JSON logs on standard output, one line per event. Secrets, tokens and e-mail addresses are
// redacted by name here, so that no call site has to remember it.
import pino from 'pino'

export type Log = pino.Logger

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

/** @param name the role that speaks; @param level a pino level, `silent` for none. */
export const createLog = (name: string, level: string): Log =>
  pino({
    name,
    level,
    redact: { paths: secret.flatMap((key) => [key, `*.${key}`]), censor: '[redacted]' },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    serializers: { err: pino.stdSerializers.errWithCause },
  })
