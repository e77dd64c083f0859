// Counts what the sockets of a swarm receive: wrong deliveries, the age of events, how long connections were lost.
import type { SwarmReport } from './swarm.ts'

const agesKept = 400_000

/** One socket, as the report sees it. */
export interface Counted {
  readonly seat: { scope: string }
  readonly live: boolean
  /** Since its first cursor. */
  readonly events: number
  readonly written: number
}

export class Tally {
  events = 0
  written = 0
  repeated = 0
  reordered = 0
  leaked = 0
  resyncs = 0
  readonly closes: Record<string, number> = {}
  #ages: number[] = []
  #replayed: number[] = []
  #dues: number[] = []
  #traces = false
  #resumed: { ms: number; afterWaitMs: number }[] = []
  /** By scope and number: when it arrived first and last, and how often. */
  #arrivals = new Map<string, { first: number; last: number; count: number; all: number[] }>()

  closed(code: number): void {
    this.closes[code] = (this.closes[code] ?? 0) + 1
  }

  /** @param waitedMs the part of `ms` that the reconnect window took */
  resumed(ms: number, waitedMs: number): void {
    this.#resumed.push({ ms, afterWaitMs: ms - waitedMs })
  }

  arrived(scope: string, number: number): void {
    const now = performance.now()
    const key = `${scope}${number}`
    const arrival = this.#arrivals.get(key)
    if (!arrival) this.#arrivals.set(key, { first: now, last: now, count: 1, all: this.#traces ? [0] : [] })
    else {
      arrival.last = now
      arrival.count += 1
      if (this.#traces) arrival.all.push(now - arrival.first)
    }
  }

  aged(ms: number): void {
    if (this.#ages.length < agesKept) this.#ages.push(ms)
  }

  /** @param ms since the connect began that brought it */
  replayed(ms: number): void {
    if (this.#replayed.length < agesKept) this.#replayed.push(ms)
  }

  wasDue(ms: number): void {
    if (this.#dues.length < agesKept) this.#dues.push(ms)
  }

  /** Forgets ages, resumes and arrivals; not what was wrong. */
  forget(traces = false): void {
    this.#traces = traces
    this.#replayed = []
    this.#dues = []
    this.#ages = []
    this.#resumed = []
    this.#arrivals = new Map()
  }

  report(sockets: readonly Counted[]): SwarmReport {
    const scopes: SwarmReport['scopes'] = {}
    for (const { seat, events, written } of sockets) {
      const of = (scopes[seat.scope] ??= {
        sockets: 0,
        least: Number.MAX_SAFE_INTEGER,
        most: 0,
        leastWritten: Number.MAX_SAFE_INTEGER,
        mostWritten: 0,
      })
      of.sockets += 1
      of.least = Math.min(of.least, events)
      of.most = Math.max(of.most, events)
      of.leastWritten = Math.min(of.leastWritten, written)
      of.mostWritten = Math.max(of.mostWritten, written)
    }
    const { events, written, repeated, reordered, leaked, resyncs, closes } = this
    const away = this.#resumed.map(({ ms }) => ms)
    return {
      sockets: sockets.length,
      live: sockets.filter(({ live }) => live).length,
      events,
      written,
      repeated,
      reordered,
      leaked,
      resyncs,
      scopes,
      closes,
      ages: summary(this.#ages),
      replayed: summary(this.#replayed),
      dues: summary(this.#dues),
      trace: [...this.#arrivals.values()].at(-1)?.all ?? [],
      resumed: {
        p50: percentile(away, 0.5),
        count: away.length,
        p95: percentile(away, 0.95),
        p99: percentile(away, 0.99),
        max: percentile(away, 1),
        p99AfterWait: percentile(
          this.#resumed.map(({ afterWaitMs }) => afterWaitMs),
          0.99,
        ),
      },
      fanOut: this.#fanOut(),
    }
  }

  #fanOut(): SwarmReport['fanOut'] {
    const spreads = [...this.#arrivals.values()].filter(({ count }) => count > 1)
    const spreadMs = spreads.reduce((sum, { first, last }) => sum + last - first, 0)
    const frames = spreads.reduce((sum, { count }) => sum + count, 0)
    return {
      events: spreads.length,
      meanMs: spreads.length === 0 ? 0 : spreadMs / spreads.length,
      framesPerSecond: spreadMs === 0 ? 0 : (frames / spreadMs) * 1000,
    }
  }
}

const summary = (values: number[]): SwarmReport['ages'] => ({
  count: values.length,
  p50: percentile(values, 0.5),
  p90: percentile(values, 0.9),
  p99: percentile(values, 0.99),
  max: percentile(values, 1),
})

const percentile = (values: number[], share: number): number =>
  values.length === 0
    ? 0
    : values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))]!
