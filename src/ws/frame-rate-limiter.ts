// What one connection may send: token buckets of frames, signals and bytes, and three strikes. One strike is forgiven
// every 10 s, so that a client which is too fast all the time is closed, and one which was so a few times a day is not.
import { TokenBucket } from '../limits/token-bucket.ts'
import { limits } from './protocol.ts'

const forgiveEveryMs = 10_000

export class FrameRateLimiter {
  readonly #frames = new TokenBucket(limits.frameBurst, limits.framesPerSecond)
  /** Most connections never signal. */
  #signals: TokenBucket | null = null
  readonly #bytes = new TokenBucket(limits.bytesPerSecond, limits.bytesPerSecond)
  #strikes = 0
  #struckAtMs = 0

  /** @param nowMs of `performance.now()`. @returns `refuse` counts a strike; `close` when none is left. */
  take(kind: 'frame' | 'signal', bytes: number, nowMs: number): 'pass' | 'refuse' | 'close' {
    const messages =
      kind === 'frame'
        ? this.#frames
        : (this.#signals ??= new TokenBucket(limits.signalsPerSecond, limits.signalsPerSecond))
    if (messages.refill(nowMs) >= 1 && this.#bytes.refill(nowMs) >= bytes) {
      messages.spend(1)
      this.#bytes.spend(bytes)
      return 'pass'
    }
    const forgiven = Math.floor((nowMs - this.#struckAtMs) / forgiveEveryMs)
    this.#strikes = Math.max(0, this.#strikes - forgiven) + 1
    this.#struckAtMs = nowMs
    return this.#strikes > limits.strikes ? 'close' : 'refuse'
  }
}
