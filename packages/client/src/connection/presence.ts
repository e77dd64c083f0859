// Who is present at a project or task, and ephemeral signals between them. Sockets only: with long polls `users` is
// empty and `signal` returns false.
import type { Connection } from './connection.ts'
import { Listeners } from '../async/listeners.ts'
import type { PresenceFrame, SignalFrame, SignalKind } from './frames.ts'

/** The server takes ten signals a second from a connection, and closes connections that keep sending more. */
const signalsPerSecond = 8

export class Presence {
  #users: readonly string[] = []
  #count = 0
  #sentAt: number[] = []
  readonly #listeners = new Listeners()
  readonly #signalListeners = new Listeners<SignalFrame>()
  readonly #closed = new AbortController()

  /** @param key `project:<id>` or `task:<id>`. One presence a key at a time. */
  constructor(
    readonly key: string,
    private readonly connection: Connection,
    signal?: AbortSignal,
  ) {
    const isNew = connection.watch(key, (frame) => this.#onFrame(frame))
    if (!isNew) throw new Error(`${key} is watched already: use that presence, or close it first`)
    if (signal?.aborted) this.close()
    else signal?.addEventListener('abort', () => this.close(), { once: true, signal: this.#closed.signal })
  }

  /** Ids of people here, as far as the server names them: above 200 it only counts. */
  get users(): readonly string[] {
    return this.#users
  }

  get count(): number {
    return this.#count
  }

  onChange(listener: () => void): () => void {
    return this.#listeners.add(listener)
  }

  onSignal(listener: (signal: SignalFrame) => void): () => void {
    return this.#signalListeners.add(listener)
  }

  /**
   * Sends a signal to the others, with at most 1 KiB of data as JSON. It is not stored.
   *
   * @returns False if it was not sent: more than 8 a second, or no open socket.
   */
  signal(kind: SignalKind, data: Record<string, unknown> = {}): boolean {
    const now = Date.now()
    this.#sentAt = this.#sentAt.filter((at) => now - at < 1_000)
    if (this.#sentAt.length >= signalsPerSecond) return false
    const isSent = this.connection.send({ t: 'signal', key: this.key, kind, data })
    if (isSent) this.#sentAt.push(now)
    return isSent
  }

  close(): void {
    if (this.#closed.signal.aborted) return // the key may belong to another presence by now
    this.#closed.abort()
    this.connection.unwatch(this.key)
    this.#onFrame(null)
    this.#listeners.clear()
    this.#signalListeners.clear()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #onFrame(frame: PresenceFrame | SignalFrame | null): void {
    if (frame?.t === 'signal') return this.#signalListeners.emit(frame)
    const left = new Set(idsOf(frame?.left))
    const isNews = frame?.joined !== undefined || frame?.left !== undefined
    const before = frame?.users ? idsOf(frame.users) : isNews ? this.#users : []
    this.#users = [...new Set([...before, ...idsOf(frame?.joined)])].filter((id) => !left.has(id))
    this.#count = frame?.count ?? 0
    this.#listeners.emit()
  }
}

/** Users are ids, or objects with an id. */
const idsOf = (people: unknown[] | undefined): string[] =>
  (people ?? []).flatMap((one) => {
    if (typeof one === 'string') return [one]
    return typeof one === 'object' && one !== null && 'id' in one && typeof one.id === 'string'
      ? [one.id]
      : []
  })
