// How much one connection may say: leaky buckets of frames, signals and bytes, and three strikes, of which one is
// forgiven now and then: a client that is too fast all the time is closed, one that was so a few times a day is not.
import { limits } from './protocol.ts'

const forgiveEveryMs = 10_000

export class FrameRateLimiter {
  #frames: number = limits.frameBurst
  #signals: number = limits.signalsPerSecond
  #bytes: number = limits.bytesPerSecond
  #strikes = 0
  #struckAt = 0
  #at = 0

  /** @param now of `performance.now()`. */
  take(kind: 'frame' | 'signal', bytes: number, now: number): 'pass' | 'refuse' | 'close' {
    const seconds = this.#at === 0 ? 0 : (now - this.#at) / 1000
    this.#at = now
    this.#frames = Math.min(limits.frameBurst, this.#frames + seconds * limits.framesPerSecond)
    this.#signals = Math.min(limits.signalsPerSecond, this.#signals + seconds * limits.signalsPerSecond)
    this.#bytes = Math.min(limits.bytesPerSecond, this.#bytes + seconds * limits.bytesPerSecond)
    const left = kind === 'frame' ? this.#frames : this.#signals
    if (left >= 1 && this.#bytes >= bytes) {
      if (kind === 'frame') this.#frames -= 1
      else this.#signals -= 1
      this.#bytes -= bytes
      return 'pass'
    }
    const forgiven = Math.floor((now - this.#struckAt) / forgiveEveryMs)
    this.#strikes = Math.max(0, this.#strikes - forgiven) + 1
    this.#struckAt = now
    return this.#strikes > limits.strikes ? 'close' : 'refuse'
  }
}
