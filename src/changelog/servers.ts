// Which server processes take connections now: a sorted set in Redis with the time until which each one counts. A
// process that stops leaves the set first, so that it can tell whether its sockets have another server to go to.
// Bounded: members expire by Redis's own clock, a killed process after `ttlMs`. Without Redis nothing is known.
import { newId } from '../model/scalar.ts'
import type { Redis } from '../redis/connection.ts'
import script from '../redis/scripts/register-server.lua' with { type: 'text' }

const key = 'tide-servers'
const beatMs = 2_000
/** Three beats: one that is lost does not make a server disappear. */
const ttlMs = 6_000

export class ServerRegistry implements Disposable {
  readonly #id = newId()
  readonly #timer: Timer
  #hasLeft = false

  /** Counts as a server from now on. */
  constructor(private readonly redis: Redis) {
    const beat = (): void => {
      // A beat that fails is repeated by the next one; the connection logs that Redis is away.
      if (!this.#hasLeft) this.#register(ttlMs).catch(() => {})
    }
    this.#timer = setInterval(beat, beatMs)
    beat()
  }

  /** Stops counting as a server. Returns how many others there are; 0 also where Redis does not answer in a second. */
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
    return Number(await this.redis.eval(script, 1, key, this.#id, ms))
  }
}
