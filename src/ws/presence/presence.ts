// Presence and signals of this process: its rooms, what they tell their watchers, and what processes tell each other
// over the bus. Nothing of it is stored or logged. Without Redis everybody sees who is on the same process.
import type { PresenceKey } from '../../model/scope.ts'
import type { Actor } from '../../model/actor.ts'
import { newId } from '../../model/scalar.ts'
import type { SocketsDeps } from '../connection-handle.ts'
import { PresenceRoom, type Watcher } from './presence-room.ts'
import { newsSince, PresenceView, type Attendance } from './presence-view.ts'
import type { SocketTimings, PresenceFrame, ServerFrame } from '../protocol.ts'

interface Place {
  room: PresenceRoom
  view: PresenceView
  /** Not said yet: who of this process is there. */
  isUnsaid: boolean
  /** Whether the others are to say who is there with them. */
  asks: boolean
  saidAt: number
  lastDiffAt: number
  /** Watchers who had a full frame since the last news, with that frame. */
  full: Map<Watcher, PresenceFrame>
  /** Deliveries of signals left in this second. */
  signalsLeft: number
}

/** Messages of presence a look sends at most; the rest is due at the next one. What Redis refuses would be lost for 20 s. */
const maxSaid = 200
/** Signals times watchers a second in one room: what is beyond is dropped, it would be stale soon anyway. */
const maxSignalDeliveries = 20_000

// Messages on the channel of a place: `h` for who is here, `s` for a signal, the process, then JSON. The frame of a
// signal goes through unread.
const idLength = newId().length
const channelPrefix = 'tide-presence:'
const channelOf = (key: PresenceKey): string => channelPrefix + key

interface Said extends Attendance {
  /** Whether the others are to say who is there with them. */
  asks?: boolean
}

export class Presence implements Disposable {
  readonly #process = newId()
  readonly #places = new Map<PresenceKey, Place>()
  readonly #timer: Timer

  constructor(
    private readonly deps: Pick<SocketsDeps, 'bus' | 'db' | 'follower' | 'log' | 'stats'>,
    private readonly timings: SocketTimings,
  ) {
    deps.bus.listen({
      onMessage: (channel, message) => this.#hear(channel, message),
      onSubscribed: (channel) => this.#ask(channel),
    })
    let ticks = 0
    this.#timer = setInterval(() => {
      ticks += 1
      this.#tick(
        performance.now(),
        (ticks * timings.presenceCheckIntervalMs) % 1_000 < timings.presenceCheckIntervalMs,
      )
    }, timings.presenceCheckIntervalMs)
  }

  /** Places somebody of this process watches. */
  get size(): number {
    return this.#places.size
  }

  /** Whether the actor may, and so does from now on. @throws AppError `unavailable`. */
  async watch(watcher: Watcher, actor: Actor, key: PresenceKey): Promise<boolean> {
    const { room } = this.#places.get(key) ?? this.#open(key)
    return room.has(watcher) || room.admit(watcher, actor)
  }

  unwatch(watcher: Watcher, key: PresenceKey): void {
    const place = this.#places.get(key)
    place?.full.delete(watcher)
    place?.room.dismiss(watcher)
  }

  /** Who is there now, for one who just came or missed the news. */
  full(watcher: Watcher, key: PresenceKey): ServerFrame | null {
    const place = this.#places.get(key)
    if (!place) return null
    const frame = place.view.full(watcher.userId)
    place.full.set(watcher, frame)
    return frame
  }

  isIn(watcher: Watcher, key: PresenceKey): boolean {
    return this.#places.get(key)?.room.isIn(watcher) ?? false
  }

  /** To everybody else who watches. The right to read was looked at by the caller. */
  signal(key: PresenceKey, frame: string, sender: Watcher): void {
    this.#signalHere(key, frame, sender)
    this.deps.bus.publish(channelOf(key), `s${this.#process}${frame}`)
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }

  #open(key: PresenceKey): Place {
    const view = new PresenceView(key, this.timings)
    const room = new PresenceRoom(key, this.deps, {
      entered: (userId) => {
        view.enter(userId)
        place.isUnsaid = true
      },
      left: (userId) => {
        view.leave(userId, performance.now())
        place.isUnsaid = true
      },
      emptied: () => {
        this.#places.delete(key)
        this.deps.bus.leave(channelOf(key))
        this.#say(key, { users: [], count: 0 })
      },
    })
    const place: Place = {
      room,
      view,
      isUnsaid: false,
      asks: false,
      saidAt: -Infinity,
      lastDiffAt: -Infinity,
      full: new Map(),
      signalsLeft: maxSignalDeliveries,
    }
    this.#places.set(key, place)
    this.deps.bus.join(channelOf(key))
    return place
  }

  #tick(now: number, isNewSecond: boolean): void {
    const { presenceDiffIntervalMs, presenceAnnounceIntervalMs } = this.timings
    let said = 0
    for (const [key, place] of this.#places) {
      if (isNewSecond) place.signalsLeft = maxSignalDeliveries
      const waitMs = place.isUnsaid ? presenceDiffIntervalMs : presenceAnnounceIntervalMs
      if (now - place.saidAt >= waitMs && said < maxSaid) {
        said += 1
        this.#announceOwn(key, place, now)
      }
      if (now - place.lastDiffAt < presenceDiffIntervalMs) continue
      const news = place.view.news(now)
      if (news) this.#sendDiff(place, news, now)
      place.full.clear() // what they were told is now what all were told
    }
  }

  #sendDiff(place: Place, news: PresenceFrame, now: number): void {
    place.lastDiffAt = now
    this.deps.stats.presence += 1
    place.room.tell(JSON.stringify(news), true, (watcher) => !place.full.has(watcher))
    for (const [watcher, full] of place.full) {
      const own = newsSince(full, news)
      if (own && place.room.isIn(watcher)) watcher.sendPresence(place.room.key, JSON.stringify(own), true)
    }
  }

  #announceOwn(key: PresenceKey, place: Place, now: number): void {
    this.#say(key, { ...place.view.own, ...(place.asks && { asks: true }) })
    place.isUnsaid = false
    place.asks = false
    place.saidAt = now
  }

  #say(key: PresenceKey, said: Said): void {
    this.deps.bus.publish(channelOf(key), `h${this.#process}${JSON.stringify(said)}`)
  }

  /** At the next look. */
  #ask(channel: string): void {
    const place = this.#places.get(keyOf(channel))
    if (!place) return
    place.asks = true
    place.saidAt = -Infinity
  }

  #hear(channel: string, message: string): void {
    const key = keyOf(channel)
    const place = this.#places.get(key)
    const process = message.slice(1, 1 + idLength)
    if (!place || process === this.#process) return
    const body = message.slice(1 + idLength)
    if (message.startsWith('s')) return this.#signalHere(key, body)
    const said = parseSaid(body)
    if (!said) return this.deps.log.warn({ channel }, 'another process said something strange of presence')
    place.view.hear(process, said, performance.now())
    if (said.asks) place.saidAt = -Infinity // at the next look
  }

  #signalHere(key: PresenceKey, frame: string, sender?: Watcher): void {
    const place = this.#places.get(key)
    if (!place) return
    if (place.signalsLeft < place.room.size) {
      this.deps.stats.signalsDropped += 1
      return
    }
    place.signalsLeft -= place.room.size
    this.deps.stats.signals += 1
    place.room.tell(frame, false, (watcher) => watcher !== sender)
  }
}

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- only channels of places are joined
const keyOf = (channel: string): PresenceKey => channel.slice(channelPrefix.length) as PresenceKey

const parseSaid = (text: string): Said | null => {
  try {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by `#say` of some process, checked below
    const said = JSON.parse(text) as Said
    const isNamed = said.users === null || (Array.isArray(said.users) && said.users.every(isString))
    return isNamed && Number.isSafeInteger(said.count) ? said : null
  } catch {
    return null
  }
}

const isString = (value: unknown): boolean => typeof value === 'string'
