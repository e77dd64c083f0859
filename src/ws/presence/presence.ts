// Presence and signals of this process: its rooms, the frames to their watchers, and the reports that processes publish
// on the bus. Nothing of it is stored or logged. Without Redis a watcher sees the users of its own process.
import type { Bus } from '../../changelog/bus.ts'
import type { LogFollower } from '../../changelog/follower/log-follower.ts'
import type { PlaceDeps } from '../../domain/presence.ts'
import type { LiveStats } from '../../changelog/live-stats.ts'
import type { Log } from '../../log.ts'
import type { PresenceKey } from '../../model/scope.ts'
import type { Actor } from '../../model/actor.ts'
import { newId } from '../../model/scalar.ts'
import { PresenceRoom, type Watcher } from './presence-room.ts'
import { diffSince, PresenceView, type PresenceReport } from './presence-view.ts'
import type { SocketTimings, PresenceFrame } from '../protocol.ts'

interface Place {
  room: PresenceRoom
  view: PresenceView
  /** The users of this process changed since the last report. */
  isReportDue: boolean
  /** The next report asks other processes for theirs. */
  asks: boolean
  reportedAt: number
  lastDiffAt: number
  /** Watchers that were sent a full frame since the last diff, with that frame. */
  full: Map<Watcher, PresenceFrame>
  /** Deliveries of signals left in this second. */
  signalsLeft: number
}

/** Reports published in one check; the rest follows in the next. A report that Redis refuses is lost for 20 s. */
const maxReportsPerCheck = 200
/** Signals times watchers a second in one room. Signals above it are dropped: they would soon be stale. */
const maxSignalDeliveries = 20_000

// Messages on the channel of a place: `h` for a report or `s` for a signal, the process, then JSON. The frame of a
// signal is forwarded without being parsed.
const idLength = newId().length
const channelPrefix = 'tide-presence:'
const channelOf = (key: PresenceKey): string => channelPrefix + key

interface ReportMessage extends PresenceReport {
  /** The receiver is to publish its own report. */
  asks?: boolean
}

export class Presence implements Disposable {
  readonly #process = newId()
  readonly #places = new Map<PresenceKey, Place>()
  readonly #timer: Timer

  constructor(
    private readonly deps: PlaceDeps & {
      bus: Bus
      follower: LogFollower
      log: Log
      stats: LiveStats
    },
    private readonly timings: SocketTimings,
  ) {
    deps.bus.listen({
      onMessage: (channel, message) => this.#onMessage(channel, message),
      onSubscribed: (channel) => this.#requestReports(channel),
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

  /** Places watched by users of this process. */
  get size(): number {
    return this.#places.size
  }

  /** Starts watching if the actor may. @returns whether it may. @throws AppError `unavailable`. */
  watch(watcher: Watcher, actor: Actor, key: PresenceKey): Promise<boolean> {
    const { room } = this.#places.get(key) ?? this.#open(key)
    return room.admit(watcher, actor)
  }

  unwatch(watcher: Watcher, key: PresenceKey): void {
    const place = this.#places.get(key)
    place?.full.delete(watcher)
    place?.room.dismiss(watcher)
  }

  /** Sends the users present now to a watcher that just started or missed a diff; later, while its watch is suspended. */
  sendFull(watcher: Watcher, key: PresenceKey): void {
    const place = this.#places.get(key)
    if (!place) return
    const frame = place.view.full(watcher.userId)
    place.full.set(watcher, frame)
    place.room.sendPresence(watcher, JSON.stringify(frame))
  }

  isActive(watcher: Watcher, key: PresenceKey): boolean {
    return this.#places.get(key)?.room.isActive(watcher) ?? false
  }

  /** Sends a signal to all other watchers. The caller has checked the right to read. */
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
        place.isReportDue = true
      },
      left: (userId) => {
        view.leave(userId, performance.now())
        place.isReportDue = true
      },
      emptied: () => {
        this.#places.delete(key)
        this.deps.bus.leave(channelOf(key))
        this.#publish(key, { users: [], count: 0 })
      },
    })
    const place: Place = {
      room,
      view,
      isReportDue: false,
      asks: false,
      reportedAt: -Infinity,
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
    let reports = 0
    for (const [key, place] of this.#places) {
      if (isNewSecond) place.signalsLeft = maxSignalDeliveries
      const waitMs = place.isReportDue ? presenceDiffIntervalMs : presenceAnnounceIntervalMs
      if (now - place.reportedAt >= waitMs && reports < maxReportsPerCheck) {
        reports += 1
        this.#reportOwn(key, place, now)
      }
      if (now - place.lastDiffAt < presenceDiffIntervalMs) continue
      const diff = place.view.diff(now)
      if (diff) this.#sendDiff(place, diff, now)
      place.full.clear() // from here on all watchers have the same state
    }
  }

  #sendDiff(place: Place, diff: PresenceFrame, now: number): void {
    place.lastDiffAt = now
    this.deps.stats.presence += 1
    place.room.send(JSON.stringify(diff), true, (watcher) => !place.full.has(watcher))
    for (const [watcher, full] of place.full) {
      const rest = diffSince(full, diff)
      if (rest) place.room.sendPresence(watcher, JSON.stringify(rest))
    }
  }

  #reportOwn(key: PresenceKey, place: Place, now: number): void {
    this.#publish(key, { ...place.view.own, ...(place.asks && { asks: true }) })
    place.isReportDue = false
    place.asks = false
    place.reportedAt = now
  }

  #publish(key: PresenceKey, report: ReportMessage): void {
    this.deps.bus.publish(channelOf(key), `h${this.#process}${JSON.stringify(report)}`)
  }

  /** The channel was subscribed: the next check asks the other processes for their reports. */
  #requestReports(channel: string): void {
    const place = this.#places.get(keyOf(channel))
    if (!place) return
    place.asks = true
    place.reportedAt = -Infinity
  }

  #onMessage(channel: string, message: string): void {
    const key = keyOf(channel)
    const place = this.#places.get(key)
    const process = message.slice(1, 1 + idLength)
    if (!place || process === this.#process) return
    const body = message.slice(1 + idLength)
    if (message.startsWith('s')) return this.#signalHere(key, body)
    const report = parseReport(body)
    if (!report) return this.deps.log.warn({ channel }, 'invalid presence report received')
    place.view.receive(process, report, performance.now())
    if (report.asks) place.reportedAt = -Infinity // report in the next check
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
    place.room.send(frame, false, (watcher) => watcher !== sender)
  }
}

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- only channels of places are joined
const keyOf = (channel: string): PresenceKey => channel.slice(channelPrefix.length) as PresenceKey

const parseReport = (text: string): ReportMessage | null => {
  try {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by `#publish` of some process, checked below
    const report = JSON.parse(text) as ReportMessage
    const isNamed = report.users === null || (Array.isArray(report.users) && report.users.every(isString))
    return isNamed && Number.isSafeInteger(report.count) ? report : null
  } catch {
    return null
  }
}

const isString = (value: unknown): boolean => typeof value === 'string'
