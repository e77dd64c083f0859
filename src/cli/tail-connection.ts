// One connection of `tail` to a server: subscribes to what is followed, shows events, keeps the cursors. Invariant:
// a cursor moves only past what was shown.
import type { Static } from '@sinclair/typebox'
import { messageOf } from '../errors.ts'
import { subprotocol, type serverFrames } from '../model/frames.ts'
import type { Event } from '../model/sync.ts'

export type EventFrame = Static<typeof Event>
type AnyFrame = Static<(typeof serverFrames)[keyof typeof serverFrames]>

/** The scopes that are followed, each with the cursor to go on from; null for now. */
export type Places = Map<string, string | null>

export interface TailOptions {
  /** http or https, of any server. */
  url: string
  /** Null for the person's own scope and every project of theirs, as access is granted. */
  scope: string | null
  /** Where to begin in `scope`; null for now. */
  cursor: string | null
  /** An access token to begin with, or null to ask for one. */
  token: string | null
  /** Makes an access token, or null where none can be made. Throws `TailEnded` when refused. */
  renew: (() => Promise<string>) | null
  /** Ids of at most `limit` projects of the token's person. */
  listProjects: (token: string, limit: number) => Promise<string[]>
  /** An event, to standard output. */
  show: (event: EventFrame) => void
  /** What happens meanwhile, to standard error. */
  note: (text: string) => void
  signal: AbortSignal
}

/** Why following cannot go on. */
export class TailEnded extends Error {}

/** For the handshake and the welcome. */
const openDeadlineMs = 10_000

/** How a connection ended, and what the server asked for before. */
export interface Ending {
  code: number
  wasWelcome: boolean
  /** Milliseconds, both ends. */
  reconnectAfter: readonly [number, number] | null
}

/** One connection, from its opening to its end. Moves the cursors in `places` with what was shown. */
export class TailConnection {
  /** Rejects with TailEnded where waiting would not help. */
  readonly ended: Promise<Ending>
  readonly #settle = Promise.withResolvers<Ending>()
  readonly #socket: WebSocket
  /** Scopes to subscribe to, one at a time: the server counts frames a second. */
  readonly #waiting: string[] = []
  #asking: string | null = null
  #limit = 1
  #wasWelcome = false
  #reconnectAfter: readonly [number, number] | null = null
  #deadMs = openDeadlineMs
  #dead: Timer
  #ping: Timer | undefined
  #retry: Timer | undefined

  constructor(
    private readonly options: TailOptions,
    private readonly token: string,
    private readonly places: Places,
  ) {
    const { url, signal } = options
    this.ended = this.#settle.promise
    this.#socket = new WebSocket(`${url.replace(/^http/, 'ws')}/api/ws`, [subprotocol, `jwt.${token}`])
    this.#dead = setTimeout(this.#silent, this.#deadMs)
    this.#socket.addEventListener('message', ({ data }) => {
      clearTimeout(this.#dead)
      this.#dead = setTimeout(this.#silent, this.#deadMs)
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what the server says, in its own protocol
      this.#read(JSON.parse(String(data)) as AnyFrame)
    })
    this.#socket.addEventListener('error', () => {}) // a close follows
    this.#socket.addEventListener('close', ({ code }) => this.#end(code))
    signal.addEventListener('abort', this.#leave)
    if (signal.aborted) this.#leave()
  }

  readonly #silent = (): void => this.#end(1006)
  readonly #leave = (): void => this.#end(1000)

  #end(code: number): void {
    clearInterval(this.#ping)
    clearTimeout(this.#retry)
    clearTimeout(this.#dead)
    this.options.signal.removeEventListener('abort', this.#leave)
    this.#socket.close()
    this.#settle.resolve({ code, wasWelcome: this.#wasWelcome, reconnectAfter: this.#reconnectAfter })
  }

  #giveUp(why: string): void {
    this.#settle.reject(new TailEnded(why))
    this.#end(1000)
  }

  #send(frame: object): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(frame))
  }

  /** Follows a scope from its cursor, or from now on. */
  #follow(scope: string): void {
    if (!this.places.has(scope)) {
      if (this.places.size >= this.#limit)
        return this.options.note(
          `Not following ${scope}: a connection has ${this.#limit} subscriptions; use --scope`,
        )
      this.places.set(scope, null)
    }
    this.#waiting.push(scope)
    if (this.#asking === null) this.#askNext()
  }

  #askNext(): void {
    this.#asking = this.#waiting.shift() ?? null
    this.#ask()
  }

  #ask(): void {
    const scope = this.#asking
    if (scope !== null) this.#send({ t: 'sub', rid: 1, scope, cursor: this.places.get(scope) ?? null })
  }

  /** The server names the person's own scope by its id. */
  #answered(scope: string, cursor: string | null): void {
    if (this.#asking !== null && this.#asking !== scope) this.places.delete(this.#asking)
    this.places.set(scope, cursor)
    this.#askNext()
  }

  async #followProjects(): Promise<void> {
    const { listProjects, note, signal } = this.options
    try {
      for (const id of await listProjects(this.token, this.#limit)) this.#follow(`project:${id}`)
    } catch (error) {
      if (signal.aborted) return
      note(`The projects cannot be listed: ${messageOf(error)}`)
      this.#end(1006)
    }
  }

  #read(frame: AnyFrame): void {
    const { note, show, scope } = this.options
    switch (frame.t) {
      case 'welcome':
        this.#wasWelcome = true
        this.#deadMs = frame.heartbeat.dead
        this.#limit = frame.limits['subscriptions'] ?? this.#limit
        this.#ping = setInterval(() => this.#send({ t: 'ping', ts: Date.now() }), frame.heartbeat.ping)
        for (const known of this.places.keys()) this.#follow(known)
        if (scope === null) void this.#followProjects()
        return
      case 'sub':
        note(
          frame.mode === 'fresh'
            ? `Following ${frame.scope} from now on`
            : `Following ${frame.scope} from ${frame.cursor}, ${frame.replay} to catch up`,
        )
        return this.#answered(frame.scope, frame.cursor)
      case 'event':
        show(frame)
        this.places.set(frame.scope, frame.cursor)
        if (scope === null && frame.type === 'access.granted') this.#follow(`project:${frame.id}`)
        return
      case 'synced':
      case 'position':
        this.places.set(frame.scope, frame.cursor)
        return
      case 'resync':
        note(
          `What followed ${this.places.get(frame.scope)} is not available (${frame.reason}): going on from now`,
        )
        if (frame.rid === undefined) this.places.set(frame.scope, null)
        else this.#answered(frame.scope, null)
        return this.#follow(frame.scope)
      case 'access':
        return this.#lost(frame.scope, `${frame.scope} is no longer yours to read`)
      case 'error':
        return this.#refused(frame.rid, frame.code, frame.retryAfter)
      case 'bye':
        this.#reconnectAfter = frame.reconnectAfter
    }
  }

  #refused(rid: unknown, code: string, retryAfter = 1): void {
    const scope = this.#asking
    if (rid !== 1 || scope === null) return
    if (code === 'rate' || code === 'unavailable') {
      this.#retry = setTimeout(() => this.#ask(), retryAfter * 1000)
      return
    }
    this.#lost(
      scope,
      code === 'not_found'
        ? `There is no ${scope}, or it is not yours to read`
        : `The server does not take this scope and cursor (${code})`,
    )
  }

  /** The end where one scope was asked for; one less where all are followed. */
  #lost(scope: string, why: string): void {
    if (this.options.scope !== null) return this.#giveUp(why)
    this.options.note(why)
    this.places.delete(scope)
    if (this.#asking === scope) this.#askNext()
  }
}
