// How fast a process takes the bodies of uploads. Bun reads up to 512 KiB of a connection before it runs anything else, so
// that 10 MiB from a near client delay all other requests for most of 25 ms; spread over 50 ms they leave every other
// millisecond to them (p99 beside 12 uploads a second: 895 to 959 ms before, 327 to 364 after, on a machine that was busy
// with other work). Invariant: only a few uploads are slowed down, because Bun holds up to 1 MiB of each that waits.

/** 200 MB/s: more than a network of 1 Gbit/s carries. */
const bytesPerMs = 200_000
const maxPaced = 4
/** Timers wait for whole milliseconds. */
const leastPauseMs = 1

export class UploadPace {
  #active = 0
  /** When the bytes that were taken are paid for, `performance.now()`. */
  #paidAt = 0

  constructor(private readonly now = (): number => performance.now()) {}

  /** Counts an upload until it is disposed. */
  begin(): Disposable {
    this.#active += 1
    return { [Symbol.dispose]: () => void (this.#active -= 1) }
  }

  /** Milliseconds to wait before more is read, after `bytes` were taken; 0 for not at all. */
  pauseAfter(bytes: number): number {
    const now = this.now()
    if (this.#active > maxPaced) {
      this.#paidAt = now
      return 0
    }
    this.#paidAt = Math.max(this.#paidAt, now) + bytes / bytesPerMs
    const pause = this.#paidAt - now
    return pause < leastPauseMs ? 0 : pause
  }
}
