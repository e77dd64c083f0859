// What processes tell each other and nobody keeps: messages on channels, over Redis. While Redis is away nothing is
// heard and what is said is lost. Bounded: channels are those listened to now, messages under way are counted.
import { openRedis, type Redis, type RedisConnection } from '../redis/connection.ts'
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
  onSubscribed(channel: string): void
}

const maxUnderWay = 1_000
const pingEveryMs = 2_000
/** Channels of one subscribe command. */
const channelsPerCommand = 500

export class Bus implements AsyncDisposable {
  readonly stats = { heard: 0, said: 0, lost: 0 }
  readonly #subscriber: RedisConnection
  readonly #channels = new Set<string>()
  readonly #timer: Timer
  #listener: BusListener | null = null
  #underWay = 0

  constructor(private readonly options: BusOptions) {
    this.#subscriber = openRedis(options.redisUrl, 'listening', options.log)
    this.#subscriber.client.on('message', (channel: string, message: string) => {
      this.stats.heard += 1
      if (this.#channels.has(channel)) this.#listener?.onMessage(channel, message)
    })
    this.#subscriber.client.on('ready', () => {
      const channels = [...this.#channels]
      for (let start = 0; start < channels.length; start += channelsPerCommand)
        void this.#subscribe(channels.slice(start, start + channelsPerCommand))
    })
    // A connection that only listens notices by its own questions that nobody answers.
    this.#timer = setInterval(() => {
      if (this.#isUp) this.#subscriber.client.ping().catch(() => {})
    }, pingEveryMs)
  }

  /** One listener a process. */
  listen(listener: BusListener): void {
    this.#listener = listener
  }

  join(channel: string): void {
    this.#channels.add(channel)
    if (this.#isUp) void this.#subscribe([channel])
  }

  leave(channel: string): void {
    this.#channels.delete(channel)
    if (this.#isUp) this.#subscriber.client.unsubscribe(channel).catch(() => {}) // what is heard of it is ignored
  }

  /** Best effort: never throws, never waits. */
  publish(channel: string, message: string): void {
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
    await this.#subscriber[Symbol.asyncDispose]()
  }

  get #isUp(): boolean {
    return this.#subscriber.client.status === 'ready'
  }

  async #subscribe(channels: string[]): Promise<void> {
    try {
      await this.#subscriber.client.subscribe(...channels)
    } catch {
      return // the connection is gone; all are joined again once there is another
    }
    for (const channel of channels) if (this.#channels.has(channel)) this.#listener?.onSubscribed(channel)
  }
}
