// Durations of requests by route and class of status. Invariant: the label is the declared pattern, never a path, and all
// requests without a route share one: what clients make up adds no series.
import { Histogram, secondsBounds } from '../metrics/histogram.ts'
import type { Sample } from '../metrics/exposition.ts'
import { loggedPathOf } from './logged-path.ts'

/** The histograms of one route, made at the first answer of a class. */
export class RouteMeter {
  /** By the first digit of the status. */
  readonly #classes: (Histogram | undefined)[] = []
  /** The path of a request as the log may hold it. */
  readonly loggedPath: (path: string) => string

  constructor(
    readonly method: string,
    readonly route: string,
    /** False for what counts requests that no route takes. */
    readonly isRoute = true,
  ) {
    this.loggedPath = loggedPathOf(route)
  }

  /** @param status undefined for an upgrade. */
  record(status: number | undefined, durationMs: number): void {
    const digit = status === undefined ? 1 : Math.trunc(status / 100)
    const histogram = (this.#classes[digit] ??= new Histogram(secondsBounds))
    histogram.record(durationMs / 1000)
  }

  samples(): Sample[] {
    return this.#classes.flatMap((value, digit) =>
      value ? [{ labels: { method: this.method, route: this.route, status: `${digit}xx` }, value }] : [],
    )
  }
}

export class RouteMeters {
  readonly #meters = new Map<string, RouteMeter>()

  /** Requests that no route takes. */
  readonly unknown = this.of('any', 'unknown', false)

  /** The meter of a declared route. */
  of(method: string, route: string, isRoute = true): RouteMeter {
    const key = `${method} ${route}`
    let meter = this.#meters.get(key)
    if (!meter) this.#meters.set(key, (meter = new RouteMeter(method, route, isRoute)))
    return meter
  }

  samples(): Sample[] {
    return [...this.#meters.values()].flatMap((meter) => meter.samples())
  }
}
