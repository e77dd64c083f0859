// Follows the log from a terminal, as any client does: over the public socket, from cursors, reconnecting until its
// signal aborts. Invariant: every entry of a scope is shown once, in order, from the cursor it began with; where
// that cannot be, a note says so.
import { messageOf } from '../errors.ts'
import { pause } from '../async/pause.ts'
import { closeCodes } from '../model/frames.ts'
import {
  TailConnection,
  TailEnded,
  type Ending,
  type EventFrame,
  type Places,
  type TailOptions,
} from './tail-connection.ts'

const minBackOffMs = 500
const maxBackOffMs = 20_000
/** After 4429. */
const calmDownMs = 30_000
const ownScope = 'user:me'

/** Resolves with the last cursors when the signal aborts. @throws TailEnded where waiting would not help. */
export const tail = async (options: TailOptions): Promise<Places> => {
  const { note, renew, signal } = options
  const places: Places = new Map([[options.scope ?? ownScope, options.cursor]])
  let { token } = options
  let attempts = 0
  while (!signal.aborted) {
    token ??= await tokenOf(options)
    if (signal.aborted) break
    const ending = token === null ? away : await new TailConnection(options, token, places).ended
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
  return places
}

const away: Ending = { code: 1006, wasWelcome: false, reconnectAfter: null }

/** Null while the server does not answer. */
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
