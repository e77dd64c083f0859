// Follows the log from a terminal over the client package, until its signal aborts. Invariant: every event of a scope is
// shown once, in order, from the cursor it began with; a note reports each gap.
import { createClient, type Client } from '../../packages/client/src/client.ts'
import type { Event } from '../../packages/client/src/connection/frames.ts'
import type { StoppedError } from '../../packages/client/src/errors.ts'
import type { EventFeed } from '../../packages/client/src/events/event-feed.ts'
import { backOffMs } from '../async/back-off.ts'
import { pause } from '../async/pause.ts'
import { messageOf } from '../errors.ts'
import { isUserScope } from '../model/scope.ts'
import {
  isTemporary,
  maxBackOffMs,
  minBackOffMs,
  signIn,
  signOut,
  TailEnded,
  type Credentials,
} from './tail-sign-in.ts'

/** The followed scopes, each with the cursor to resume from; null for now. */
export type Places = ReadonlyMap<string, string | null>

export interface TailOptions {
  /** The origin of a server, http or https. */
  url: string
  /** Null for the caller's own scope and every project they can read, as access is granted. */
  scope: string | null
  /** Where to begin in `scope`; null for now. */
  cursor: string | null
  /** An access token, used before the credentials; null to sign in. */
  token: string | null
  /** To sign in, also when the session ends meanwhile; null where only the token can be used. */
  credentials: Credentials | null
  /** Receives each event, for standard output. */
  show: (event: Event) => void
  /** Receives connection news, for standard error. */
  note: (text: string) => void
  signal: AbortSignal
}

const ownScope = 'user:me'
/** A connection has at most 64 subscriptions: further projects need not be listed. */
const maxListedProjects = 64

/** Resolves with the last cursors when the signal aborts. @throws TailEnded where following cannot continue. */
export const tail = async (options: TailOptions): Promise<Places> => {
  const { url, credentials, note, signal } = options
  let { token } = options
  let places: Places = new Map([[options.scope ?? ownScope, options.cursor]])
  while (!signal.aborted) {
    using client = createClient({ url, transport: 'socket', ...(token !== null && { token }) })
    try {
      if (token === null && credentials) await signIn(client, credentials, note, signal)
      if (signal.aborted) break
      const follower = new Follower(client, options, places)
      const end = await follower.ended
      places = follower.places
      if (!end) break
      if (end.reason !== 'signed_out' || !credentials) throw new TailEnded(describeEnd(end, options.scope))
      note('The session has ended: signing in again')
    } finally {
      if (token === null) await signOut(client, note)
    }
    token = null
  }
  return places
}

/** Follows scopes with one client, from their cursors, until its session ends. */
class Follower {
  /** Null when the signal aborted, else why following ended. */
  readonly ended: Promise<StoppedError | null>
  readonly #feed: EventFeed
  #hasListedProjects = false

  constructor(
    private readonly client: Client,
    private readonly options: TailOptions,
    places: Places,
  ) {
    const { scope, show, note, signal } = options
    const { promise, resolve } = Promise.withResolvers<StoppedError | null>()
    this.ended = promise
    this.#feed = client.events({
      onEvent: (event) => {
        show(event)
        if (scope === null && event.type === 'access.granted') this.#feed.follow(`project:${event.id}`)
      },
      onSubscribed: ({ scope: name, cursor, replay, isFresh }) => {
        note(
          isFresh
            ? `Following ${name} from now on`
            : `Following ${name} from ${cursor}, ${replay} to catch up`,
        )
        // Grants of access in a gap of the own scope are only in the list.
        if (scope !== null || !isUserScope(name) || (this.#hasListedProjects && !isFresh)) return
        this.#hasListedProjects = true
        void this.#followProjects()
      },
      onGap: ({ cursor, reason }) =>
        note(`What followed ${cursor} is not available (${reason}): going on from now`),
      onStopped: (name, error) => {
        if (error.reason === 'closed') return
        if (scope !== null || this.#feed.connection.stopped) return resolve(error)
        note(describeEnd(error, name))
        this.#feed.unfollow(name)
      },
    })
    this.#feed.connection.onChange(() => {
      const { retry } = this.#feed.connection
      if (retry) note(`Not connected (${retry.closeCode}); again in ${(retry.inMs / 1000).toFixed(1)} s`)
    })
    signal.addEventListener('abort', () => resolve(null), { once: true })
    if (signal.aborted) resolve(null)
    for (const [name, cursor] of places) this.#feed.follow(name, cursor)
  }

  get places(): Places {
    return this.#feed.cursors
  }

  async #followProjects(): Promise<void> {
    const { note, signal } = this.options
    for (let failures = 1; !signal.aborted; failures += 1) {
      try {
        let listed = 0
        for await (const { id } of this.client.projects.list({ limit: 100 })) {
          if (signal.aborted || (listed += 1) > maxListedProjects) return
          this.#feed.follow(`project:${id}`)
        }
        return
      } catch (error) {
        if (signal.aborted || this.#feed.connection.stopped) return
        note(`The projects cannot be listed: ${messageOf(error)}`)
        if (!isTemporary(error)) return
        await pause(backOffMs(failures, minBackOffMs, maxBackOffMs), signal)
      }
    }
  }
}

/** Why following ended, as a sentence; `scope` is the one it concerns, or null. */
const describeEnd = (error: StoppedError, scope: string | null): string => {
  const { reason, closeCode, cause } = error
  switch (reason) {
    case 'signed_out':
      return closeCode === null ? error.message : `The token is no longer good (${closeCode})`
    case 'not_found':
      return `There is no ${scope}, or it is not yours to read`
    case 'revoked':
      return `${scope} is no longer yours to read`
    case 'limit':
      return `Not following ${scope}: the connection has as many subscriptions as the server allows; use --scope`
    case 'refused':
      return `The server does not take this scope and cursor (${messageOf(cause)})`
    default:
      return closeCode === null ? error.message : `The server ended the connection for good (${closeCode})`
  }
}
