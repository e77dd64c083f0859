// How long this process did not run: stopped, without a CPU, or busy in one turn of its event loop. After such a stall a
// timer fires before the sockets are read, so a deadline by the clock would take it for the absence of the other side.

export class StallMeter {
  #tickedAt = performance.now()

  /** @param everyMs how often the owner calls `tick`. */
  constructor(private readonly everyMs: number) {}

  /**
   * @param now of `performance.now()`.
   * @returns milliseconds since the last call in which the process did not run; lateness below `everyMs` is none.
   */
  tick(now: number): number {
    const lateMs = now - this.#tickedAt - this.everyMs
    this.#tickedAt = now
    return lateMs < this.everyMs ? 0 : lateMs
  }
}
