// What processes tell each other and nobody keeps: messages on channels, over Redis. While Redis is away nothing is
// heard and what is said is lost. Bounded: channels are those listened to now, messages under way are counted.
import { openRedis, type Redis, type RedisConnection } from './redis.ts'
import type { Log } from '../log.ts'

export interface BusOptions {
  redisUrl: string
  /** Says; the connection of requests. */
  redis: Redis
  log: Log
}

export interface BusListener {
  onMessage(channel: string, message: string): void
  /** The channel is heard from now on: at first, and again whenever Redis is back. */
  onHeard(channel: string): void
}

const maxUnderWay = 1_000
const pingEveryMs = 2_000
/** Channels of one subscribe command. */
const atOnce = 500

export class Bus implements AsyncDisposable {
  readonly stats = { heard: 0, said: 0, lost: 0 }
  readonly #ear: RedisConnection
  readonly #channels = new Set<string>()
  readonly #timer: Timer
  #listener: BusListener | null = null
  #underWay = 0

  constructor(private readonly options: BusOptions) {
    this.#ear = openRedis(options.redisUrl, 'listening', options.log)
    this.#ear.client.on('message', (channel: string, message: string) => {
      this.stats.heard += 1
      if (this.#channels.has(channel)) this.#listener?.onMessage(channel, message)
    })
    this.#ear.client.on('ready', () => {
      const channels = [...this.#channels]
      for (let start = 0; start < channels.length; start += atOnce)
        void this.#hear(channels.slice(start, start + atOnce))
    })
    // A connection that only listens notices by its own questions that nobody answers.
    this.#timer = setInterval(() => {
      if (this.#isUp) this.#ear.client.ping().catch(() => {})
    }, pingEveryMs)
  }

  /** One listener a process. */
  listen(listener: BusListener): void {
    this.#listener = listener
  }

  join(channel: string): void {
    this.#channels.add(channel)
    if (this.#isUp) void this.#hear([channel])
  }

  leave(channel: string): void {
    this.#channels.delete(channel)
    if (this.#isUp) this.#ear.client.unsubscribe(channel).catch(() => {}) // what is heard of it is ignored
  }

  /** Best effort: never throws, never waits. */
  say(channel: string, message: string): void {
    if (this.#underWay >= maxUnderWay) {
      this.stats.lost += 1
      return
    }
    this.#underWay += 1
    this.options.redis
      .publish(channel, message)
      .then(
        () => (this.stats.said += 1),
        () => (this.stats.lost += 1),
      )
      .finally(() => (this.#underWay -= 1))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer)
    this.#listener = null
    await this.#ear[Symbol.asyncDispose]()
  }

  get #isUp(): boolean {
    return this.#ear.client.status === 'ready'
  }

  async #hear(channels: string[]): Promise<void> {
    try {
      await this.#ear.client.subscribe(...channels)
    } catch {
      return // the connection is gone; all are joined again once there is another
    }
    for (const channel of channels) if (this.#channels.has(channel)) this.#listener?.onHeard(channel)
  }
}
