// The limits of the wire protocol `tasktide.v1`, and how a client's frame is read; model/frames.ts has the frames.
// An error frame is an answer; a close is a verdict.
import type { Static } from '@sinclair/typebox'
import type { Rid, serverFrames } from '../model/frames.ts'

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

/** A client's frame, read: what it left out is null. */
export type ClientFrame =
  | { t: 'hello'; token: string }
  | { t: 'sub'; rid: Rid; scope: string; cursor: string | null }
  | { t: 'unsub'; rid: Rid; scope: string }
  | { t: 'auth'; rid: Rid; token: string }
  | { t: 'ping'; ts: number | null }

export type ServerFrame = Static<(typeof serverFrames)[Exclude<keyof typeof serverFrames, 'event'>]>
export type ErrorFrameCode = Static<typeof serverFrames.error>['code']

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
