// Which places one connection watches, and what it signals. Bounded by the number of watches; what a parked
// connection misses of presence it is told anew, signals are gone.
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
  /** Where somebody came or left while the connection was parked. */
  readonly #missed = new Set<PresenceKey>()
  #isOver = false

  constructor(
    private readonly outlet: ConnectionHandle,
    private readonly deps: Pick<SocketDeps, 'db' | 'presence'>,
  ) {}

  get userId(): string {
    return this.outlet.userId
  }

  /** @throws AppError `unavailable`. */
  async watch(rid: Rid, text: string, { actor }: Identity): Promise<void> {
    const key = parsePresenceKey(text)
    if (!key) return this.outlet.error('bad_frame', rid)
    const held = this.#keys.has(key)
    if (!held && this.#keys.size >= limits.watches) return this.outlet.error('limit', rid)
    this.#keys.add(key)
    let isReader = false
    try {
      isReader = await this.deps.presence.watch(this, actor, key)
    } finally {
      if (!isReader) this.#keys.delete(key)
    }
    if (this.#isOver) return
    if (!isReader) return this.outlet.error('not_found', rid)
    this.outlet.send({ t: 'ok', rid })
    this.#sendFull(key)
  }

  unwatch(rid: Rid | null, text: string): void {
    const key = parsePresenceKey(text)
    if (!key) return this.outlet.error('bad_frame', rid)
    this.#drop(key)
    this.deps.presence.unwatch(this, key)
    if (rid !== null) this.outlet.send({ t: 'ok', rid })
  }

  /** Without a watch of its own the right to read is looked at for this one signal. @throws AppError `unavailable`. */
  async signal(
    { rid, key: text, kind, data }: { rid: Rid | null; key: string; kind: SignalKind; data: object },
    { actor }: Identity,
  ): Promise<void> {
    const { presence } = this.deps
    const key = parsePresenceKey(text)
    if (!key) return this.outlet.error('bad_frame', rid)
    if (Buffer.byteLength(JSON.stringify(data)) > limits.signalBytes) return this.outlet.error('limit', rid)
    if (!presence.isIn(this, key) && (await findPlace(this.deps, actor, key)) === null)
      return this.outlet.error('not_found', rid)
    if (this.#isOver) return
    presence.signal(key, asciiJson({ t: 'signal', key, kind, user: actor.userId, data }), this)
    if (rid !== null) this.outlet.send({ t: 'ok', rid })
  }

  sendPresence(key: PresenceKey, frame: string, isPresence: boolean): void {
    if (!this.outlet.isParked) this.outlet.sendText(frame)
    else if (isPresence) this.#missed.add(key)
  }

  watchEnded(key: PresenceKey, code: ErrorFrameCode): void {
    this.#drop(key)
    this.outlet.send({ t: 'error', key, code })
  }

  /** The connection is no longer parked. */
  onDrain(): void {
    for (const key of this.#missed) {
      if (this.outlet.isParked) return
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
    const frame = this.deps.presence.full(this, key)
    if (frame && this.#keys.has(key)) this.outlet.send(frame)
  }

  #drop(key: PresenceKey): void {
    this.#keys.delete(key)
    this.#missed.delete(key)
  }
}
