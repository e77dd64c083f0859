// Pub/sub between processes over Redis, best effort: nothing is stored, and while Redis is away messages are lost.
// Bounded: only joined channels are subscribed, and messages in flight are limited.
import { openRedis, type Redis, type RedisConnection } from '../redis/connection.ts'
import type { Log } from '../log.ts'

export interface BusOptions {
  redisUrl: string
  /** For publishing: the connection of requests. */
  redis: Redis
  log: Log
}

export interface BusListener {
  onMessage(channel: string, message: string): void
  /** The channel is subscribed: after `join`, and again after each reconnection. */
  onSubscribed(channel: string): void
}

const maxInFlight = 1_000
const pingEveryMs = 2_000
/** Channels of one subscribe command. */
const channelsPerCommand = 500

export class Bus implements AsyncDisposable {
  readonly stats = { received: 0, published: 0, lost: 0 }
  readonly #subscriber: RedisConnection
  readonly #channels = new Set<string>()
  readonly #timer: Timer
  #listener: BusListener | null = null
  #inFlight = 0

  constructor(private readonly options: BusOptions) {
    this.#subscriber = openRedis(options.redisUrl, 'listening', options.log)
    this.#subscriber.client.on('message', (channel: string, message: string) => {
      this.stats.received += 1
      if (this.#channels.has(channel)) this.#listener?.onMessage(channel, message)
    })
    this.#subscriber.client.on('ready', () => {
      const channels = [...this.#channels]
      for (let start = 0; start < channels.length; start += channelsPerCommand)
        void this.#subscribe(channels.slice(start, start + channelsPerCommand))
    })
    // A subscriber sends nothing by itself: its own pings reveal a dead connection to the socket timeout.
    this.#timer = setInterval(() => {
      if (this.#isUp) this.#subscriber.client.ping().catch(() => {})
    }, pingEveryMs)
  }

  /** Sets the one listener of the process. */
  listen(listener: BusListener): void {
    this.#listener = listener
  }

  join(channel: string): void {
    this.#channels.add(channel)
    if (this.#isUp) void this.#subscribe([channel])
  }

  leave(channel: string): void {
    this.#channels.delete(channel)
    if (this.#isUp) this.#subscriber.client.unsubscribe(channel).catch(() => {}) // messages of a channel that was left are ignored
  }

  /** Best effort: never throws, never waits. */
  publish(channel: string, message: string): void {
    if (this.#inFlight >= maxInFlight) {
      this.stats.lost += 1
      return
    }
    this.#inFlight += 1
    this.options.redis
      .publish(channel, message)
      .then(
        () => (this.stats.published += 1),
        () => (this.stats.lost += 1),
      )
      .finally(() => (this.#inFlight -= 1))
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
      return // the connection is lost: all channels are subscribed again on the next one
    }
    for (const channel of channels) if (this.#channels.has(channel)) this.#listener?.onSubscribed(channel)
  }
}
