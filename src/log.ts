// Structured JSON logs on standard output, one line per event. Secrets, tokens and e-mail addresses are
// redacted by name here, and of an error only what cannot hold one is written, so that no call site has to
// remember it. Every line of a process goes through one output, so that request lines, which wait to be written together,
// keep their place among the others.
import { hostname } from 'node:os'
import pino from 'pino'
import { withoutCredentials } from './errors.ts'
import { LineOutput } from './line-output.ts'

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

let output: LineOutput | null = null

/** Standard output of this process: there is one, whatever logs are made. */
const standardOutput = (): LineOutput => {
  if (output) return output
  const made = new LineOutput(1, {
    describeDropped: (lines) =>
      `${JSON.stringify({ level: 'warn', time: new Date().toISOString(), pid: process.pid, lines, msg: 'standard output is behind, lines dropped' })}\n`,
  })
  process.on('exit', () => made.finish())
  return (output = made)
}

/**
 * Keeps the lines of this process back until `releaseLogs`, so that another line can be the first of standard output. A
 * process that exits before that writes them at its exit; a signal without a handler would skip it.
 */
export const holdLogs = (): void => {
  standardOutput().hold()
}

/** @param first the line that goes before those that were held back, if any. */
export const releaseLogs = (first?: string): void => {
  standardOutput().release(first === undefined ? '' : `${first}\n`)
}

/** @param name of the role; @param level a pino level, `silent` for none. */
export const createLog = (name: string, level: string): Log =>
  pino(
    {
      name,
      level,
      redact: { paths: secret.flatMap((key) => [key, `*.${key}`]), censor: '[redacted]' },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: describeError },
      hooks: { logMethod: limiting() },
    },
    { write: (line: string) => standardOutput().write(line) },
  )

/** One answered request. None of these fields can hold a secret, so that they are not redacted. */
export interface RequestLine {
  /** Without characters that JSON escapes. */
  requestId: string
  /** Of the request's span, where it has one, and of the caller's `traceparent`; hex digits. */
  traceId?: string | undefined
  spanId?: string | undefined
  parentSpanId?: string | undefined
  method: string
  /** Of the route, with the ids of the request and no other parameter. */
  path: string
  /** Undefined for an upgrade. */
  status: number | undefined
  userId: string | undefined
  durationMs: number
}

/**
 * Writes the line of a request as `log.info(line, 'request')` would, for a tenth of its cost: the text is joined by hand
 * and written together with others, at most 50 ms later.
 */
export const createRequestLog = (log: Log): ((line: RequestLine) => void) => {
  if (!log.isLevelEnabled('info')) return () => {}
  const add = infoLines(log)
  return ({ requestId, traceId, spanId, parentSpanId, method, path, status, userId, durationMs }) => {
    const ofTrace = traceId === undefined ? '' : `,"traceId":"${traceId}"`
    const ofSpan = spanId === undefined ? '' : `,"spanId":"${spanId}"`
    const ofParent = parentSpanId === undefined ? '' : `,"parentSpanId":"${parentSpanId}"`
    const ofStatus = status === undefined ? '' : `,"status":${status}`
    const ofUser = userId === undefined ? '' : `,"userId":"${userId}"`
    add(
      `"requestId":"${requestId}"${ofTrace}${ofSpan}${ofParent},"method":${quoted(method)},"path":${quoted(path)}${ofStatus}${ofUser},"durationMs":${durationMs},"msg":"request"}\n`,
    )
  }
}

/** One socket that has closed. No field has a character that JSON escapes. */
export interface ConnectionLine {
  /** As `welcome` names it. */
  connection: string
  /** Of the upgrade, as its own line has it. */
  requestId: string
  /** Empty where the socket closed before its user was known. */
  userId: string
  /** Of the close, as the server's side sees it. */
  code: number
  durationMs: number
}

/** Writes the line of a connection in the same way: thousands close at once when a process drains. */
export const createConnectionLog = (log: Log): ((line: ConnectionLine) => void) => {
  if (!log.isLevelEnabled('info')) return () => {}
  const add = infoLines(log)
  return ({ connection, requestId, userId, code, durationMs }) => {
    const ofUser = userId === '' ? '' : `,"userId":"${userId}"`
    add(
      `"connection":"${connection}","requestId":"${requestId}"${ofUser},"code":${code},"durationMs":${durationMs},"msg":"connection"}\n`,
    )
  }
}

/** Adds lines of the level `info` that begin as those of the log do. */
const infoLines = (log: Log): ((rest: string) => void) => {
  const { name } = log.bindings()
  const destination = standardOutput()
  const process = `","pid":${String(globalThis.process.pid)},"hostname":${JSON.stringify(hostname())},"name":${JSON.stringify(name)},`
  return (rest) => destination.add(`{"level":"info","time":"${isoTime()}${process}${rest}`)
}

/** The text in quotes. Paths and methods have nothing to escape, unless a client makes them up. */
const quoted = (text: string): string =>
  /^[\w/.:%~!$&'()*+,;=@-]*$/.test(text) ? `"${text}"` : JSON.stringify(text)

let lastMs = 0
let lastTime = ''

/** The time as pino writes it; made once a millisecond. */
const isoTime = (): string => {
  const now = Date.now()
  if (now !== lastMs) {
    lastMs = now
    lastTime = new Date(now).toISOString()
  }
  return lastTime
}

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
