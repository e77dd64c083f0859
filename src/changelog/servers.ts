// The registry of server processes that accept connections: a sorted set in Redis by expiry time. A process that stops
// leaves it first and learns whether its clients can reconnect to another process. Bounded: members expire by Redis's
// clock, a killed process after `ttlMs`. While Redis is away no other process is known.
import { newId } from '../model/scalar.ts'
import type { Redis } from '../redis/connection.ts'
import { scriptOf } from '../redis/script.ts'
import text from '../redis/scripts/register-server.lua' with { type: 'text' }

const script = scriptOf(text)
const key = 'tide-servers'
const beatMs = 2_000
/** Three beats, so that losing one does not remove the process. */
const ttlMs = 6_000

export class ServerRegistry implements Disposable {
  readonly #id = newId()
  readonly #timer: Timer
  #hasLeft = false
  #others = 0

  /** Registers this process, now and with every beat. */
  constructor(private readonly redis: Redis) {
    const beat = (): void => {
      // The next beat repeats one that failed; the connection logs that Redis is away.
      if (!this.#hasLeft) this.#register(ttlMs).catch(() => (this.#others = 0))
    }
    this.#timer = setInterval(beat, beatMs)
    beat()
  }

  /** Other processes that accept connections, as of the last beat. */
  get others(): number {
    return this.#others
  }

  /** Removes this process. Returns how many others are registered; 0 also where Redis does not answer in a second. */
  async leave(): Promise<number> {
    this.#hasLeft = true
    try {
      return await this.#register(0)
    } catch {
      return 0
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }

  async #register(ms: number): Promise<number> {
    this.#others = Number(await script.run(this.redis, key, this.#id, ms))
    return this.#others
  }
}
