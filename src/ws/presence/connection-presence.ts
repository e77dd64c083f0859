// The watches and signals of one connection, bounded by the number of watches. A parked connection receives the full
// presence state after it drains; signals meanwhile are dropped.
import { parsePresenceKey, type PresenceKey } from '../../model/scope.ts'
import type { Identity } from '../../auth/authenticator.ts'
import { findPlace } from '../../domain/presence.ts'
import type { Rid } from '../../model/frames.ts'
import { asciiJson } from '../../model/text.ts'
import type { ConnectionHandle, SocketDeps } from '../connection-handle.ts'
import type { Watcher } from './presence-room.ts'
import { limits, type ErrorFrameCode, type SignalKind } from '../protocol.ts'

export class ConnectionPresence implements Watcher {
  readonly #keys = new Set<PresenceKey>()
  /** Places whose presence changed while the connection was parked. */
  readonly #missed = new Set<PresenceKey>()
  #isOver = false

  constructor(
    private readonly connection: ConnectionHandle,
    private readonly deps: Pick<SocketDeps, 'db' | 'overrideReads' | 'presence'>,
  ) {}

  get userId(): string {
    return this.connection.userId
  }

  /** @throws AppError `unavailable`. */
  async watch(rid: Rid, text: string, { actor }: Identity): Promise<void> {
    const key = parsePresenceKey(text)
    if (!key) return this.connection.error('bad_frame', rid)
    const held = this.#keys.has(key)
    if (!held && this.#keys.size >= limits.watches) return this.connection.error('limit', rid)
    this.#keys.add(key)
    let isReader = false
    try {
      isReader = await this.deps.presence.watch(this, actor, key)
    } finally {
      if (!isReader) this.#keys.delete(key)
    }
    if (this.#isOver) return
    if (!isReader) return this.connection.error('not_found', rid)
    this.connection.send({ t: 'ok', rid })
    this.#sendFull(key)
  }

  unwatch(rid: Rid | null, text: string): void {
    const key = parsePresenceKey(text)
    if (!key) return this.connection.error('bad_frame', rid)
    this.#drop(key)
    this.deps.presence.unwatch(this, key)
    if (rid !== null) this.connection.send({ t: 'ok', rid })
  }

  /** Without an active watch the right to read is checked for this signal. @throws AppError `unavailable`. */
  async signal(
    { rid, key: text, kind, data }: { rid: Rid | null; key: string; kind: SignalKind; data: object },
    { actor }: Identity,
  ): Promise<void> {
    const { presence } = this.deps
    const key = parsePresenceKey(text)
    if (!key) return this.connection.error('bad_frame', rid)
    if (Buffer.byteLength(JSON.stringify(data)) > limits.signalBytes)
      return this.connection.error('limit', rid)
    if (!presence.isActive(this, key) && (await findPlace(this.deps, actor, key)) === null)
      return this.connection.error('not_found', rid)
    if (this.#isOver) return
    presence.signal(key, asciiJson({ t: 'signal', key, kind, user: actor.userId, data }), this)
    if (rid !== null) this.connection.send({ t: 'ok', rid })
  }

  sendPresence(key: PresenceKey, frame: string, isPresence: boolean): void {
    if (!this.connection.isParked) this.connection.sendText(frame)
    else if (isPresence) this.#missed.add(key)
  }

  watchResumed(key: PresenceKey): void {
    this.#sendFull(key)
  }

  watchEnded(key: PresenceKey, code: ErrorFrameCode): void {
    this.#drop(key)
    this.connection.send({ t: 'error', key, code, ...(code === 'rate' && { retryAfter: 1 }) })
  }

  /** The connection is no longer parked. */
  onDrain(): void {
    for (const key of this.#missed) {
      if (this.connection.isParked) return
      this.#missed.delete(key)
      this.#sendFull(key)
    }
  }

  end(): void {
    this.#isOver = true
    for (const key of this.#keys) this.deps.presence.unwatch(this, key)
    this.#keys.clear()
    this.#missed.clear()
  }

  #sendFull(key: PresenceKey): void {
    if (this.#keys.has(key)) this.deps.presence.sendFull(this, key)
  }

  #drop(key: PresenceKey): void {
    this.#keys.delete(key)
    this.#missed.delete(key)
  }
}
