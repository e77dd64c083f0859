// How fast a process takes the bodies of uploads: a token bucket without a burst. Bun reads up to 512 KiB of a connection
// before it runs anything else, so that 10 MiB from a near client delay all other requests for most of 25 ms; spread over
// 50 ms they leave every other millisecond to them (p99 beside 12 uploads a second: 895 to 959 ms before, 327 to 364 after,
// on a machine that was busy with other work). Invariant: only a few uploads are slowed down, because Bun holds up to 1 MiB
// of each that waits.
import { TokenBucket } from '../../limits/token-bucket.ts'

/** More than a network of 1 Gbit/s carries. */
const bytesPerSecond = 200_000_000
const maxPaced = 4

export class UploadPace {
  #active = 0
  readonly #bytes = new TokenBucket(0, bytesPerSecond)

  constructor(private readonly now = (): number => performance.now()) {}

  /** Counts an upload until it is disposed. */
  begin(): Disposable {
    this.#active += 1
    return { [Symbol.dispose]: () => void (this.#active -= 1) }
  }

  /** Whole milliseconds, as timers wait, before more is read, after `bytes` were taken; what is left counts for the next. */
  pauseAfter(bytes: number): number {
    const tokens = this.#bytes.refill(this.now())
    if (this.#active > maxPaced) {
      this.#bytes.spend(tokens) // bytes that many take at once do not slow those that remain
      return 0
    }
    this.#bytes.spend(bytes)
    return Math.floor(((bytes - tokens) * 1000) / bytesPerSecond)
  }
}
