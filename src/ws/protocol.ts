// The wire protocol `tasktide.v1`: every frame, every close code, every limit, and how a client's frame is read.
// Close codes tell the client what to do: 1xxx and 40xx reconnect with the cursor, 44xx get new credentials
// first, 45xx stop. An error frame is an answer; a close is a verdict.
import type { ResyncReason } from '../domain/sync.ts'

export const subprotocol = 'tasktide.v1'

export const closeCodes = {
  restart: 1012,
  overloaded: 1013,
  server_error: 4000,
  slow_consumer: 4008,
  position_lost: 4010,
  no_hello: 4012,
  token_expired: 4401,
  revoked: 4403,
  too_many_connections: 4409,
  too_fast: 4429,
  protocol_violation: 4500,
  version_unsupported: 4505,
  subprotocol_missing: 4510,
} as const
export type CloseReason = keyof typeof closeCodes

/** Milliseconds: the client pings, the server tells positions, a client that hears nothing reconnects. */
export const heartbeat = { ping: 25_000, position: 15_000, dead: 40_000 } as const

export const limits = {
  subscriptions: 64,
  frameBytes: 64 * 1024,
  framesPerSecond: 20,
  frameBurst: 40,
  bytesPerSecond: 64 * 1024,
  strikes: 3,
} as const

/** Milliseconds after which a connection is told something or ended. Tests bring their own. */
export interface Patience {
  /** Between two looks at every connection. */
  sweep: number
  hello: number
  /** A peer that says nothing for this long is gone. */
  silent: number
  /** A token may be this old past its expiry before the socket is closed. */
  expired: number
  /** For a parked connection to read what is unsent. */
  parked: number
  /** Between two positions. */
  position: number
  /** A fan-out that takes longer lets everything else go first. */
  fanOut: number
}

export const patience: Patience = {
  sweep: 1_000,
  hello: 5_000,
  silent: 60_000,
  expired: 30_000,
  parked: 30_000,
  position: heartbeat.position,
  fanOut: 4,
}

/** Beyond this many unsent bytes a connection is parked: nothing more is sent until it drains. */
export const parkBytes = 256 * 1024
/** Beyond this many unsent bytes Bun drops frames; it is never reached unless parking failed. */
export const sendBufferBytes = 1024 * 1024

export type Rid = number | string

export type ClientFrame =
  | { t: 'hello'; token: string }
  | { t: 'sub'; rid: Rid; scope: string; cursor: string | null }
  | { t: 'unsub'; rid: Rid; scope: string }
  | { t: 'auth'; rid: Rid; token: string }
  | { t: 'ping'; ts: number | null }

export type ErrorFrameCode =
  | 'bad_frame'
  | 'unknown_type'
  | 'forbidden'
  | 'not_found'
  | 'limit'
  | 'rate'
  | 'token'
  | 'unavailable'

export type ServerFrame =
  | {
      t: 'welcome'
      connection: string
      user: string
      expiresAt: string
      heartbeat: typeof heartbeat
      limits: typeof limits
    }
  | { t: 'sub'; rid: Rid; scope: string; mode: 'resume' | 'fresh'; cursor: string; replay: number }
  | { t: 'synced'; scope: string; cursor: string }
  | { t: 'position'; scope: string; cursor: string; count: number }
  | { t: 'resync'; scope: string; rid?: Rid; reason: ResyncReason; snapshot: string }
  | { t: 'access'; scope: string; cursor: string; op: 'revoked' }
  | { t: 'pong'; ts: number | null; now: number }
  | { t: 'ok'; rid: Rid }
  | { t: 'error'; rid?: Rid; code: ErrorFrameCode; retryAfter?: number }
  | { t: 'bye'; code: number; reconnectAfter: [number, number] }

/** The `rid` of a frame that is refused unread. */
export const ridOf = (text: string): Rid | null => {
  const rid = parseObject(text)?.['rid']
  return isRid(rid) ? rid : null
}

/** A frame that cannot be read: what to answer. */
export interface BadFrame {
  t: 'bad'
  code: 'bad_frame' | 'unknown_type'
  rid: Rid | null
}

/** Reads a client's text frame. Unknown fields are ignored, unknown types are answered, nothing throws. */
export const parseFrame = (text: string): ClientFrame | BadFrame => {
  const frame = parseObject(text)
  if (!frame) return { t: 'bad', code: 'bad_frame', rid: null }
  const rid = isRid(frame['rid']) ? frame['rid'] : null
  const bad: BadFrame = { t: 'bad', code: 'bad_frame', rid }
  switch (frame['t']) {
    case 'hello':
      return isText(frame['token']) ? { t: 'hello', token: frame['token'] } : bad
    case 'sub': {
      const { scope, cursor = null } = frame
      return rid !== null && isText(scope) && (cursor === null || isText(cursor))
        ? { t: 'sub', rid, scope, cursor }
        : bad
    }
    case 'unsub':
      return rid !== null && isText(frame['scope']) ? { t: 'unsub', rid, scope: frame['scope'] } : bad
    case 'auth':
      return rid !== null && isText(frame['token']) ? { t: 'auth', rid, token: frame['token'] } : bad
    case 'ping':
      return { t: 'ping', ts: typeof frame['ts'] === 'number' ? frame['ts'] : null }
    default:
      return typeof frame['t'] === 'string' ? { t: 'bad', code: 'unknown_type', rid } : bad
  }
}

const parseObject = (text: string): Record<string, unknown> | null => {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- an object, whose fields stay unknown
        (value as Record<string, unknown>)
      : null
  } catch {
    return null
  }
}

const isText = (value: unknown): value is string =>
  typeof value === 'string' && value.length > 0 && value.length <= 4096

const isRid = (value: unknown): value is Rid =>
  typeof value === 'number' ? Number.isSafeInteger(value) : typeof value === 'string' && value.length <= 64
