// Sends frames no faster than the server takes them from one connection. Invariant: further frames wait in a bounded
// FIFO queue.
import type { Timers } from '../async/timers.ts'
import type { ClientFrame } from '../../../../src/model/frames.ts'

/** The server takes 40 at once and 20 a second. */
const burst = 30
const frameIntervalMs = 60
const maxQueued = 256

export class FramePacer {
  #tokens = burst
  #queue: ClientFrame[] = []

  /** @param write false while nothing can be sent. */
  constructor(
    private readonly timers: Timers,
    private readonly write: (text: string) => boolean,
  ) {}

  /** False if too many frames wait. */
  send(frame: ClientFrame): boolean {
    if (this.#queue.length >= maxQueued) return false
    this.#queue.push(frame)
    this.#flush()
    return true
  }

  clear(): void {
    this.#queue = []
  }

  #flush(): void {
    while (this.#queue.length > 0 && this.#tokens > 0 && this.write(JSON.stringify(this.#queue[0]))) {
      this.#queue.shift()
      this.#tokens -= 1
      this.timers.after(frameIntervalMs * (burst - this.#tokens), () => {
        this.#tokens += 1
        this.#flush()
      })
    }
  }
}
