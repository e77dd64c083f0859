// One WebSocket, from opening to close. It speaks when it is to speak (pings, fresh tokens, paced joins) and
// notices when nothing is heard any more: a dead network closes no socket.
import { deferred } from './deferred.ts'
import { Pace } from './pace.ts'
import type { Session } from './session.ts'
import type { Timing } from './timing.ts'
import { windowOf, type Ending, type Ends, type Follower, type Line } from './line.ts'
import { Timers } from './timers.ts'
import type { ClientFrame, ServerFrame } from '../../../src/model/frames.ts'
import { readFrame } from './wire.ts'

/** The part of a WebSocket this client uses: the browser's, Bun's, Node's or the `ws` package's. */
export interface Socket {
  readonly readyState: number
  send(text: string): void
  close(code?: number, reason?: string): void
  addEventListener(type: 'open' | 'error', listener: () => void): void
  addEventListener(type: 'message', listener: (event: { data: unknown }) => void): void
  addEventListener(type: 'close', listener: (event: { code: number; reason: string }) => void): void
}

export type OpenSocket = (url: string, protocols: string[]) => Socket

interface SocketDeps {
  url: string
  open: OpenSocket
  session: Session
  timing: Timing
}

const isOpen = 1
const soonestRenewMs = 1_000

export class SocketLine implements Line {
  readonly kind = 'socket'
  #socket: Socket | null = null
  #token = ''
  #welcomed = false
  #isOver = false
  #heardAt = 0
  #reconnectAfter: readonly [number, number] | undefined
  #rid = 0
  readonly #asked = new Map<unknown, Follower>()
  readonly #watching = new Map<unknown, string>()
  readonly #timers = new Timers()
  readonly #pace = new Pace(this.#timers, (text) => this.#write(text))
  readonly #over = deferred<Ending>()

  constructor(
    private readonly deps: SocketDeps,
    private readonly ends: Ends,
  ) {}

  async run(signal: AbortSignal): Promise<Ending> {
    const abort = (): void => this.#end(1000)
    signal.addEventListener('abort', abort, { once: true })
    const leave = this.deps.session.onChange(() => void this.#renewed())
    try {
      this.#token = await this.deps.session.token(signal)
      if (signal.aborted) return { code: 1000, opened: false }
      this.#open()
      return await this.#over.promise
    } catch (cause) {
      return { code: 1006, opened: false, ...windowOf(cause, this.deps.timing), cause }
    } finally {
      leave()
      signal.removeEventListener('abort', abort)
      this.#close()
    }
  }

  join(follower: Follower): void {
    if (!this.#welcomed || follower.cursor === null) return
    const rid = (this.#rid += 1)
    for (const [old, asked] of this.#asked) if (asked === follower) this.#asked.delete(old)
    this.#asked.set(rid, follower)
    this.send({ t: 'sub', rid, scope: follower.scope, cursor: follower.cursor })
  }

  leave(follower: Follower): void {
    for (const [rid, asked] of this.#asked) if (asked === follower) this.#asked.delete(rid)
    this.send({ t: 'unsub', rid: (this.#rid += 1), scope: follower.scope })
  }

  watch(key: string): void {
    const rid = (this.#rid += 1)
    for (const [old, asked] of this.#watching) if (asked === key) this.#watching.delete(old)
    if (this.send({ t: 'watch', rid, key })) this.#watching.set(rid, key)
  }

  send(frame: ClientFrame): boolean {
    return this.#welcomed && this.#pace.send(frame)
  }

  probe(): void {
    if (!this.#welcomed) return
    const askedAt = (this.#heardAt = Date.now())
    this.#ping()
    const { probe } = this.deps.timing
    this.#timers.later(probe, () => {
      if (this.#heardAt === askedAt) this.#end(1006, new Error(`nothing heard for ${probe} ms`))
    })
  }

  #ping(): void {
    this.#write(JSON.stringify({ t: 'ping', ts: Date.now() }))
  }

  #write(text: string): boolean {
    if (this.#socket?.readyState !== isOpen) return false
    this.#socket.send(text)
    return true
  }

  #open(): void {
    const { url, open, timing } = this.deps
    // A personal access token is too much for a header every proxy logs: it goes in the first frame.
    const isPersonal = this.#token.startsWith('ttp_')
    const socket = open(url, isPersonal ? ['tasktide.v1'] : ['tasktide.v1', `jwt.${this.#token}`])
    this.#socket = socket
    socket.addEventListener('open', () => {
      if (isPersonal) socket.send(JSON.stringify({ t: 'hello', token: this.#token }))
    })
    socket.addEventListener('message', ({ data }) => this.#heard(data))
    socket.addEventListener('error', () => {}) // a close follows
    socket.addEventListener('close', ({ code }) => this.#end(code))
    this.#timers.later(timing.open, () => {
      if (!this.#welcomed) this.#end(1006, new Error(`no welcome within ${timing.open} ms`))
    })
  }

  #heard(data: unknown): void {
    if (this.#isOver) return // a dying socket may deliver late
    this.#heardAt = Date.now()
    const frame = readFrame(data)
    if (frame) this.#take(frame)
  }

  #take(frame: ServerFrame): void {
    switch (frame.t) {
      case 'welcome':
        return this.#welcome(frame.heartbeat)
      case 'sub': {
        const follower = this.#asked.get(frame.rid)
        if (this.ends.follower(frame.scope) === follower) follower?.joined(frame.replay)
        return
      }
      case 'event':
        return this.#joined(frame.scope)?.event(frame)
      case 'synced':
        return this.#joined(frame.scope)?.synced(frame.cursor)
      case 'position':
        return this.#joined(frame.scope)?.position(frame.cursor, frame.count)
      case 'resync':
        return this.#joined(frame.scope)?.resync()
      case 'access': {
        const follower = this.#joined(frame.scope)
        if (follower) this.ends.drop(follower, 'revoked')
        return
      }
      case 'presence':
      case 'signal':
        return this.ends.ephemeral(frame)
      case 'error':
        return this.#refused(frame)
      case 'bye':
        this.#reconnectAfter = frame.reconnectAfter
        return
      case 'ok':
        this.#watching.delete(frame.rid)
        return
      case 'pong':
        return
    }
  }

  #welcome(heartbeat: { ping: number; dead: number }): void {
    this.#welcomed = true
    this.ends.opened()
    for (const follower of this.ends.followers()) this.join(follower)
    for (const key of this.ends.watched()) this.watch(key)
    const { timing } = this.deps
    this.#timers.every(Math.min(heartbeat.ping, timing.ping), () => this.#ping())
    const dead = Math.min(heartbeat.dead, timing.dead)
    this.#timers.every(Math.max(dead / 8, 10), () => {
      // The clock of the device may have been set back.
      if (Math.abs(Date.now() - this.#heardAt) > dead)
        this.#end(1006, new Error(`nothing heard for ${dead} ms`))
    })
    this.#renewLater()
  }

  /** A scope's follower, unless what comes is of a subscription it has given up. */
  #joined(scope: string): Follower | undefined {
    const follower = this.ends.follower(scope)
    return follower && [...this.#asked.values()].includes(follower) ? follower : undefined
  }

  #refused({ rid, key: ended, code, retryAfter = 1 }: Extract<ServerFrame, { t: 'error' }>): void {
    if (ended !== undefined) return this.ends.unseen(ended)
    const follower = this.#asked.get(rid)
    const key = this.#watching.get(rid)
    if (code === 'rate' || code === 'unavailable')
      return this.#timers.later(retryAfter * 1000, () => {
        if (follower && this.#asked.get(rid) === follower) this.join(follower)
        if (key && this.#watching.get(rid) === key && [...this.ends.watched()].includes(key)) this.watch(key)
      })
    this.#watching.delete(rid) // not to be seen there: `users` stays empty
    if (!follower) return
    this.#asked.delete(rid)
    // A cursor the server cannot read came from elsewhere: the snapshot has a good one.
    if (code === 'bad_frame') follower.resync()
    else this.ends.drop(follower, code === 'limit' ? 'limit' : code === 'not_found' ? 'not_found' : 'refused')
  }

  #renewLater(): void {
    const ms = this.deps.session.freshFor
    if (ms === null) return
    this.#timers.later(Math.min(Math.max(ms, soonestRenewMs), 2 ** 31 - 1), () => {
      // Should it fail, the server closes with 4401 and the connection renews before it comes back.
      this.deps.session.token().catch(() => {})
    })
  }

  async #renewed(): Promise<void> {
    if (!this.#welcomed || this.deps.session.freshFor === null) return
    const token = await this.deps.session.token().catch(() => null)
    if (token === null || token === this.#token) return
    this.#token = token
    this.send({ t: 'auth', rid: (this.#rid += 1), token })
    this.#renewLater()
  }

  #end(code: number, cause?: unknown): void {
    // What anything may say of any connection is not the server's word.
    const isSpoken = ![1000, 1005, 1006].includes(code)
    this.#isOver = true
    this.#over.resolve({
      code,
      opened: this.#welcomed || isSpoken,
      ...(this.#reconnectAfter && { reconnectAfter: this.#reconnectAfter }),
      ...(cause !== undefined && { cause }),
    })
  }

  #close(): void {
    this.#isOver = true
    this.#welcomed = false
    this.#asked.clear()
    this.#pace.clear()
    this.#timers.clear()
    if (this.#socket && this.#socket.readyState <= isOpen) this.#socket.close(1000)
  }
}
