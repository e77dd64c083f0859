// One WebSocket, from opening to close. It speaks when it is to speak (pings, fresh tokens, paced joins) and
// notices when nothing is heard any more: a dead network closes no socket.
import { deferred } from './deferred.ts'
import type { Session } from './session.ts'
import type { Timing } from './timing.ts'
import type { Ending, Ends, Follower, Line } from './line.ts'
import { readFrame, type ClientFrame, type ServerFrame } from './wire.ts'

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
/** The server takes 40 at once and 20 a second. */
const burst = 30
const paceMs = 60
const maxQueued = 256

export class SocketLine implements Line {
  readonly kind = 'socket'
  #socket: Socket | null = null
  #token = ''
  #opened = false
  #welcomed = false
  #heardAt = 0
  #reconnectAfter: readonly [number, number] | undefined
  #rid = 0
  #quick = burst
  #queue: ClientFrame[] = []
  readonly #asked = new Map<unknown, Follower>()
  readonly #watching = new Map<unknown, string>()
  readonly #timers = new Set<ReturnType<typeof setTimeout>>()
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
      return { code: 1006, opened: false, cause }
    } finally {
      leave()
      signal.removeEventListener('abort', abort)
      for (const timer of this.#timers) clearTimeout(timer)
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
    if (!this.#welcomed || this.#queue.length >= maxQueued) return false
    this.#queue.push(frame)
    this.#flush()
    return true
  }

  #open(): void {
    const { url, open, timing } = this.deps
    // A personal access token is too much for a header every proxy logs: it goes in the first frame.
    const isPersonal = this.#token.startsWith('ttp_')
    const socket = open(url, isPersonal ? ['tasktide.v1'] : ['tasktide.v1', `jwt.${this.#token}`])
    this.#socket = socket
    socket.addEventListener('open', () => {
      this.#opened = true
      if (isPersonal) socket.send(JSON.stringify({ t: 'hello', token: this.#token }))
    })
    socket.addEventListener('message', ({ data }) => this.#heard(data))
    socket.addEventListener('error', () => {}) // a close follows
    socket.addEventListener('close', ({ code }) => this.#end(code))
    this.#later(timing.open, () => {
      if (!this.#welcomed) this.#end(1006, new Error(`no welcome within ${timing.open} ms`))
    })
  }

  #heard(data: unknown): void {
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
      case 'pong':
      case 'ok':
        return
    }
  }

  #welcome(heartbeat: { ping: number; dead: number }): void {
    this.#welcomed = true
    this.ends.opened()
    for (const follower of this.ends.followers()) this.join(follower)
    for (const key of this.ends.watched()) this.watch(key)
    const { timing } = this.deps
    this.#every(Math.min(heartbeat.ping, timing.ping), () =>
      this.#socket?.send(JSON.stringify({ t: 'ping', ts: Date.now() })),
    )
    const dead = Math.min(heartbeat.dead, timing.dead)
    this.#every(Math.max(dead / 8, 10), () => {
      if (Date.now() - this.#heardAt > dead) this.#end(1006, new Error(`nothing heard for ${dead} ms`))
    })
    this.#renewLater()
  }

  /** A scope's follower, unless what comes is of a subscription it has given up. */
  #joined(scope: string): Follower | undefined {
    const follower = this.ends.follower(scope)
    return follower && [...this.#asked.values()].includes(follower) ? follower : undefined
  }

  #refused({ rid, code, retryAfter = 1 }: Extract<ServerFrame, { t: 'error' }>): void {
    const follower = this.#asked.get(rid)
    const key = this.#watching.get(rid)
    if (code === 'rate' || code === 'unavailable')
      return this.#later(retryAfter * 1000, () => {
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
    this.#later(Math.min(ms, 2 ** 31 - 1), () => {
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

  #flush(): void {
    while (this.#queue.length > 0 && this.#quick > 0 && this.#socket?.readyState === isOpen) {
      this.#quick -= 1
      this.#later(paceMs * (burst - this.#quick), () => {
        this.#quick += 1
        this.#flush()
      })
      this.#socket.send(JSON.stringify(this.#queue.shift()))
    }
  }

  #later(ms: number, act: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      act()
    }, ms)
    this.#timers.add(timer)
  }

  #every(ms: number, act: () => void): void {
    this.#later(ms, () => {
      act()
      this.#every(ms, act)
    })
  }

  #end(code: number, cause?: unknown): void {
    this.#over.resolve({
      code,
      opened: this.#opened,
      ...(this.#reconnectAfter && { reconnectAfter: this.#reconnectAfter }),
      ...(cause !== undefined && { cause }),
    })
  }

  /** Nothing that still arrives is heard: a dying socket may deliver late. */
  #close(): void {
    this.#welcomed = false
    this.#asked.clear()
    this.#queue = []
    if (this.#socket && this.#socket.readyState <= isOpen) this.#socket.close(1000)
  }
}
