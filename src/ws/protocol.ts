// Limits and timings of the wire protocol `tasktide.v1`, and the parser of client frames; model/frames.ts has the frames.
// Invariant: an error frame answers one frame and the connection continues; a close ends the connection.
import type { Static } from '@sinclair/typebox'
import type { clientFrames, Rid, serverFrames } from '../model/frames.ts'

/** Milliseconds: between pings of the client, between positions of the server, and until a silent server counts as dead. */
export const heartbeat = { ping: 25_000, position: 15_000, dead: 40_000 } as const

export const limits = {
  subscriptions: 64,
  frameBytes: 64 * 1024,
  framesPerSecond: 20,
  frameBurst: 40,
  bytesPerSecond: 64 * 1024,
  watches: 64,
  signalsPerSecond: 10,
  signalBytes: 1024,
  strikes: 3,
} as const

/** Intervals and deadlines of sockets. Tests pass shorter ones. */
export interface SocketTimings {
  /** Between two checks of every connection. */
  sweepIntervalMs: number
  helloTimeoutMs: number
  /** A peer that sends nothing for this long is closed. */
  silenceTimeoutMs: number
  /** From the expiry of a token to the close of its socket. */
  tokenGraceMs: number
  /** For a parked connection to drain. */
  parkedTimeoutMs: number
  /** Between two positions. */
  positionIntervalMs: number
  /** From leaving a place to `left` in a frame, unless the user comes back. */
  presenceLeaveDelayMs: number
  /** Between two checks of all places for changes of presence. */
  presenceCheckIntervalMs: number
  /** Between two presence frames of one place. */
  presenceDiffIntervalMs: number
  /** Between two reports of a process about the users of one place. */
  presenceAnnounceIntervalMs: number
  /** How long such a report is valid. */
  presenceTtlMs: number
  /** A fan-out that takes longer yields to the event loop. */
  fanOutSliceMs: number
  /** A number: upgrades and joins in progress at once. */
  maxHandshakes: number
}

export const socketTimings: SocketTimings = {
  sweepIntervalMs: 1_000,
  helloTimeoutMs: 5_000,
  silenceTimeoutMs: 60_000,
  tokenGraceMs: 30_000,
  parkedTimeoutMs: 30_000,
  positionIntervalMs: heartbeat.position,
  presenceLeaveDelayMs: 5_000,
  presenceCheckIntervalMs: 100,
  presenceDiffIntervalMs: 1_000,
  presenceAnnounceIntervalMs: 20_000,
  presenceTtlMs: 45_000,
  fanOutSliceMs: 4,
  maxHandshakes: 4_000,
}

/** Above this many unsent bytes a connection is parked: it receives nothing until it drains. */
export const parkBytes = 256 * 1024
/** Above this many unsent bytes Bun drops frames; parking prevents that. */
export const sendBufferBytes = 1024 * 1024

/** A parsed frame of a client: fields that were left out are null. */
export type ClientFrame =
  | { t: 'hello'; token: string }
  | { t: 'sub'; rid: Rid; scope: string; cursor: string | null }
  | { t: 'unsub'; rid: Rid; scope: string }
  | { t: 'auth'; rid: Rid; token: string }
  | { t: 'watch'; rid: Rid; key: string }
  | { t: 'unwatch'; rid: Rid | null; key: string }
  | { t: 'signal'; rid: Rid | null; key: string; kind: SignalKind; data: Record<string, unknown> }
  | { t: 'ping'; ts: number | null }

export type SignalKind = Static<typeof clientFrames.signal>['kind']
const signalKinds: SignalKind[] = ['typing', 'viewing', 'cursor']

export type ServerFrame = Static<(typeof serverFrames)[Exclude<keyof typeof serverFrames, 'event'>]>
export type ErrorFrameCode = Static<typeof serverFrames.error>['code']

export type PresenceFrame = Static<typeof serverFrames.presence>

/** A frame that does not parse, as the error to answer with. */
export interface BadFrame {
  t: 'bad'
  code: 'bad_frame' | 'unknown_type'
  rid: Rid | null
}

/** Parses a text frame. Unknown fields are ignored, unknown types give `unknown_type`. Never throws. */
export const parseFrame = (text: string): ClientFrame | BadFrame => {
  const frame = parseObject(text)
  if (!frame) return { t: 'bad', code: 'bad_frame', rid: null }
  const rid = isRid(frame['rid']) ? frame['rid'] : null
  const bad: BadFrame = { t: 'bad', code: 'bad_frame', rid }
  switch (frame['t']) {
    case 'hello':
      return isString(frame['token']) ? { t: 'hello', token: frame['token'] } : bad
    case 'sub': {
      const { scope, cursor = null } = frame
      return rid !== null && isText(scope) && (cursor === null || isText(cursor))
        ? { t: 'sub', rid, scope, cursor }
        : bad
    }
    case 'unsub':
      return rid !== null && isText(frame['scope']) ? { t: 'unsub', rid, scope: frame['scope'] } : bad
    case 'auth':
      return rid !== null && isString(frame['token']) ? { t: 'auth', rid, token: frame['token'] } : bad
    case 'watch':
      return rid !== null && isText(frame['key']) ? { t: 'watch', rid, key: frame['key'] } : bad
    case 'unwatch':
      return isText(frame['key']) ? { t: 'unwatch', rid, key: frame['key'] } : bad
    case 'signal': {
      const { key, data = {} } = frame
      const kind = signalKinds.find((one) => one === frame['kind'])
      return isText(key) && kind && isObject(data) ? { t: 'signal', rid, key, kind, data } : bad
    }
    case 'ping':
      return { t: 'ping', ts: typeof frame['ts'] === 'number' ? frame['ts'] : null }
    default:
      return typeof frame['t'] === 'string' ? { t: 'bad', code: 'unknown_type', rid } : bad
  }
}

const parseObject = (text: string): Record<string, unknown> | null => {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : null
  } catch {
    return null
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** A token of any length: an empty or overlong one is a bad token, not a bad frame. */
const isString = (value: unknown): value is string => typeof value === 'string'

const isText = (value: unknown): value is string =>
  typeof value === 'string' && value.length > 0 && value.length <= 4096

const isRid = (value: unknown): value is Rid =>
  typeof value === 'number' ? Number.isSafeInteger(value) : typeof value === 'string' && value.length <= 64
