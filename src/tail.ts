// Follows one scope of the log from a terminal, as any client does: over the public socket, from a cursor, again
// and again until told to stop. Invariant: every entry is shown once, in order; where that cannot be, it says so.
import type { Static } from '@sinclair/typebox'
import { messageOf } from './errors.ts'
import { pause } from './events/pause.ts'
import { closeCodes, subprotocol, type serverFrames } from './model/frames.ts'
import type { Event } from './model/sync.ts'

type EventFrame = Static<typeof Event>
type AnyFrame = Static<(typeof serverFrames)[keyof typeof serverFrames]>

export interface TailOptions {
  /** http or https, of any server. */
  url: string
  scope: string
  /** Where to begin; null for now. */
  cursor: string | null
  /** An access token to begin with, or null to ask for one. */
  token: string | null
  /** Makes an access token, or null where none can be made. Throws `TailEnded` when refused. */
  renew: (() => Promise<string>) | null
  /** An event, to standard output. */
  show: (event: EventFrame) => void
  /** What happens meanwhile, to standard error. */
  note: (text: string) => void
  signal: AbortSignal
}

/** Why following cannot go on. */
export class TailEnded extends Error {}

const minBackOffMs = 500
const maxBackOffMs = 20_000
/** After 4429. */
const calmDownMs = 30_000
/** For the handshake and the welcome. */
const openDeadlineMs = 10_000

/** How a connection ended, and what the server asked for before. */
interface Ending {
  code: number
  wasWelcome: boolean
  /** Milliseconds, both ends. */
  reconnectAfter: readonly [number, number] | null
}

/** Resolves with the last cursor when the signal aborts. @throws TailEnded where waiting would not help. */
export const tail = async (options: TailOptions): Promise<string | null> => {
  const { note, renew, signal } = options
  const place = { cursor: options.cursor }
  let { token } = options
  let attempts = 0
  while (!signal.aborted) {
    token ??= await tokenOf(options)
    const ending = token === null ? away : await follow(options, token, place)
    if (signal.aborted) break
    attempts = ending.wasWelcome ? 0 : attempts + 1
    const { code } = ending
    if (code >= 4500 || code === closeCodes.too_many_connections || code === 1009)
      throw new TailEnded(`The server ended the connection for good (${code})`)
    const isRefused = code >= 4400 && code !== closeCodes.too_fast
    if (isRefused && !renew) throw new TailEnded(`The token is no longer good (${code})`)
    // A handshake that failed says nothing: it may have been the token, once.
    if (isRefused || (renew && attempts === 1)) token = null
    const waitMs =
      code === closeCodes.too_fast ? calmDownMs : (between(ending.reconnectAfter) ?? backOffMs(attempts))
    note(`Not connected (${code}); again in ${(waitMs / 1000).toFixed(1)} s`)
    await pause(waitMs, signal)
  }
  return place.cursor
}

const away: Ending = { code: 1006, wasWelcome: false, reconnectAfter: null }

/** Null while nobody answers. */
const tokenOf = async ({ renew, note }: TailOptions): Promise<string | null> => {
  if (!renew) throw new TailEnded('There is no token')
  try {
    return await renew()
  } catch (error) {
    if (error instanceof TailEnded) throw error
    note(`Signing in failed: ${messageOf(error)}`)
    return null
  }
}

const between = (window: readonly [number, number] | null): number | null =>
  window && window[0] + Math.random() * (window[1] - window[0])

/** Full jitter. */
const backOffMs = (attempts: number): number =>
  Math.max(minBackOffMs, Math.random() * Math.min(maxBackOffMs, minBackOffMs * 2 ** Math.min(attempts, 10)))

/** One connection, from its opening to its end. Moves `place` with what was shown. */
const follow = (
  { url, scope, show, note, signal }: TailOptions,
  token: string,
  place: { cursor: string | null },
): Promise<Ending> => {
  const { promise, resolve, reject } = Promise.withResolvers<Ending>()
  const socket = new WebSocket(`${url.replace(/^http/, 'ws')}/api/ws`, [subprotocol, `jwt.${token}`])
  let wasWelcome = false
  let reconnectAfter: readonly [number, number] | null = null
  let ping: Timer | undefined
  let deadMs = openDeadlineMs
  let retry: Timer | undefined
  const send = (frame: object): void => {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame))
  }
  const subscribe = (): void => send({ t: 'sub', rid: 1, scope, cursor: place.cursor })
  const end = (code: number): void => {
    clearInterval(ping)
    clearTimeout(retry)
    clearTimeout(dead)
    signal.removeEventListener('abort', leave)
    socket.close()
    resolve({ code, wasWelcome, reconnectAfter })
  }
  const leave = (): void => end(1000)
  const silent = (): void => end(1006)
  let dead = setTimeout(silent, deadMs)
  const heard = (): void => {
    clearTimeout(dead)
    dead = setTimeout(silent, deadMs)
  }
  const giveUp = (why: string): void => {
    reject(new TailEnded(why))
    end(1000)
  }

  const read = (frame: AnyFrame): void => {
    switch (frame.t) {
      case 'welcome':
        wasWelcome = true
        deadMs = frame.heartbeat.dead
        ping = setInterval(() => send({ t: 'ping', ts: Date.now() }), frame.heartbeat.ping)
        return subscribe()
      case 'sub':
        note(
          frame.mode === 'fresh'
            ? `Following ${frame.scope} from now on`
            : `Following ${frame.scope} from ${frame.cursor}, ${frame.replay} to catch up`,
        )
        place.cursor = frame.cursor
        return
      case 'event':
        show(frame)
        place.cursor = frame.cursor
        return
      case 'synced':
      case 'position':
        place.cursor = frame.cursor
        return
      case 'resync':
        note(`Nothing can be told of what followed ${place.cursor} (${frame.reason}): going on from now`)
        place.cursor = null
        return subscribe()
      case 'access':
        return giveUp(`${frame.scope} is no longer yours to read`)
      case 'error':
        if (frame.rid !== 1) return
        if (frame.code !== 'rate' && frame.code !== 'unavailable')
          return giveUp(
            frame.code === 'not_found'
              ? `There is no ${scope}, or it is not yours to read`
              : `The server does not take this scope and cursor (${frame.code})`,
          )
        retry = setTimeout(subscribe, (frame.retryAfter ?? 1) * 1000)
        return
      case 'bye':
        ;({ reconnectAfter } = frame)
    }
  }

  socket.addEventListener('message', ({ data }) => {
    heard()
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what the server says, in its own protocol
    read(JSON.parse(String(data)) as AnyFrame)
  })
  socket.addEventListener('error', () => {}) // a close follows
  socket.addEventListener('close', ({ code }) => end(code))
  signal.addEventListener('abort', leave)
  if (signal.aborted) leave()
  return promise
}

/** An event on one line, for people: when, what, which, and where to go on from. */
export const lineOf = ({ at, type, version, id, data, changed, cursor }: EventFrame): string => {
  const about = typeof data === 'object' && data !== null ? titleOf(data) : null
  return [
    at.slice(11, 19),
    type.padEnd(20),
    `v${version}`.padEnd(5),
    about ?? id ?? '',
    ...(changed ? [`[${changed.join(', ')}]`] : []),
    ` ${cursor}`,
  ].join(' ')
}

/** What JSON leaves as it is and a terminal would obey. */
const steering = /[\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g

const titleOf = (data: object): string | null => {
  for (const field of ['title', 'name', 'kind', 'projectId'] as const) {
    const value: unknown = Reflect.get(data, field)
    if (typeof value === 'string') return JSON.stringify(value).replaceAll(steering, '\uFFFD')
  }
  return null
}
