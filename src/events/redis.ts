// Connections to Redis, and the only module that imports the driver. Invariant: nothing waits on Redis without a
// deadline, and a connection that stops answering is thrown away: a half-open one never comes back by itself.
import { Redis, type RedisOptions } from 'ioredis'
import type { Log } from '../log.ts'

export type { Redis } from 'ioredis'

export interface RedisConnection extends AsyncDisposable {
  readonly client: Redis
}

const options = {
  /** Commands answer or fail within a second; while Redis is away they fail at once. None is sent twice. */
  request: {
    commandTimeout: 1_000,
    socketTimeout: 2_000,
    connectTimeout: 1_000,
    maxRetriesPerRequest: 1,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
  },
  /** For one command that blocks, and for queues: waits for Redis to come back. Whoever blocks sets the deadline. */
  blocking: {
    socketTimeout: 15_000,
    connectTimeout: 1_000,
    maxRetriesPerRequest: null,
  },
  /** For subscribing: whoever listens asks now and then, and joins its channels anew on each connection. */
  listening: {
    socketTimeout: 5_000,
    connectTimeout: 1_000,
    maxRetriesPerRequest: 1,
    enableOfflineQueue: false,
    autoResubscribe: false,
    autoResendUnfulfilledCommands: false,
  },
} satisfies Record<string, RedisOptions>

const closeTimeoutMs = 500

/** Exponential and jittered; its longest wait is what recovery can cost after Redis is back. */
const retryDelayMs = (tries: number): number => Math.min(25 * 2 ** tries, 500) * (0.5 + Math.random() / 2)

/** Starts connecting and returns at once; Redis may be away. Closing takes half a second at most. */
export const openRedis = (url: string, purpose: keyof typeof options, log: Log): RedisConnection => {
  const client = new Redis(url, { ...options[purpose], retryStrategy: retryDelayMs })
  let state = 'unknown'
  const enter = (next: 'up' | 'away', error?: unknown): void => {
    if (state === next) return
    if (next === 'away') log.warn({ err: error, purpose }, 'Redis is away')
    else if (state === 'away') log.info({ purpose }, 'Redis is back')
    state = next
  }
  // Without a listener the driver prints every failed attempt.
  client.on('error', (error) => enter('away', error))
  client.on('close', () => state === 'up' && client.status !== 'end' && enter('away'))
  client.on('ready', () => enter('up'))
  return {
    client,
    [Symbol.asyncDispose]: async () => {
      state = 'away' // closing is no news
      if (purpose === 'request' && client.status === 'ready') {
        await Promise.race([client.quit().catch(() => {}), Bun.sleep(closeTimeoutMs)])
      }
      client.disconnect()
    },
  }
}
