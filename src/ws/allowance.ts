// How much one connection may say: two leaky buckets, one of frames and one of bytes, and three strikes.
import { limits } from './protocol.ts'

export class Allowance {
  #frames: number = limits.frameBurst
  #bytes: number = limits.bytesPerSecond
  #strikes = 0
  #at = 0

  /** @param now epoch milliseconds. */
  take(bytes: number, now: number): 'pass' | 'refuse' | 'close' {
    const seconds = this.#at === 0 ? 0 : (now - this.#at) / 1000
    this.#at = now
    this.#frames = Math.min(limits.frameBurst, this.#frames + seconds * limits.framesPerSecond)
    this.#bytes = Math.min(limits.bytesPerSecond, this.#bytes + seconds * limits.bytesPerSecond)
    if (this.#frames >= 1 && this.#bytes >= bytes) {
      this.#frames -= 1
      this.#bytes -= bytes
      return 'pass'
    }
    this.#strikes += 1
    return this.#strikes > limits.strikes ? 'close' : 'refuse'
  }
}
