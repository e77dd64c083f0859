// Connections to Redis, and the only module that imports the driver. Invariant: nothing waits on Redis without a
// deadline, and a connection that stops answering is thrown away: a half-open one never comes back by itself.
import { isIP } from 'node:net'
import { Redis, type RedisOptions } from 'ioredis'
import { backOffMs } from '../async/back-off.ts'
import { settledWithin, withTimeout } from '../async/timeout.ts'
import type { Log } from '../log.ts'
import { readRedisUrl } from '../settings/redis-url.ts'
import { configurationFailure, exitCodes, unavailableFailure, type StartFailure } from '../start/failure.ts'
import { redisFailure } from '../start/redis.ts'
import { tlsMismatch } from './redis-tls.ts'

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

/** The longest wait is what recovery can cost after Redis is back. @param tries from 1. */
const retryDelayMs = (tries: number): number => backOffMs(tries, 50, 500)

/** The driver reads deadlines and more from a URL's parameters: it is given the parts instead. */
const placeOf = (url: string) => {
  const { address, problems } = readRedisUrl(url)
  if (problems.length > 0) throw configurationFailure(`REDIS_URL ${problems.join('; ')}`)
  const { host, port, username, password, database, family, tls } = address
  return {
    place: address,
    connect: {
      host,
      port,
      db: database,
      family,
      ...(username !== null && { username }),
      ...(password !== null && { password }),
      ...(tls && { tls: isIP(host) === 0 ? { servername: host } : {} }),
    },
  }
}

/**
 * Starts connecting and returns at once; Redis may be away. Closing takes half a second at most. While Redis is away
 * all connections of a process together log it once a minute.
 */
export const openRedis = (url: string, purpose: keyof typeof options, log: Log): RedisConnection => {
  const { place, connect } = placeOf(url)
  const client = new Redis({ ...connect, ...options[purpose], retryStrategy: retryDelayMs })
  let state: 'unknown' | 'up' | 'away' = 'unknown'
  const away = (error?: unknown): void => {
    state = 'away'
    const failure = error === undefined ? null : redisFailure(error, place)
    const fields = { purpose, ...(failure ? {} : { err: error }) }
    if (failure?.exitCode === exitCodes.configuration)
      log.error({ ...fields, oncePerMinute: 'redis refuses' }, failure.message)
    else log.warn({ ...fields, oncePerMinute: 'redis is away' }, failure?.message ?? 'Redis is away')
  }
  // Without a listener the driver prints every failed attempt.
  client.on('error', away)
  client.on('close', () => state === 'up' && client.status !== 'end' && away())
  client.on('ready', () => {
    if (state === 'away') log.info({ purpose, oncePerMinute: 'redis is back' }, 'Redis is back')
    state = 'up'
  })
  return {
    client,
    [Symbol.asyncDispose]: async () => {
      client.removeListener('error', away) // closing is no news
      client.on('error', () => {})
      client.removeAllListeners('close')
      if (purpose === 'request' && client.status === 'ready') {
        await settledWithin(
          closeTimeoutMs,
          client.quit().catch(() => {}),
        )
      }
      client.disconnect()
    },
  }
}

const checkTimeoutMs = 3_000

/**
 * One attempt, for a check: resolves with a connection that answers.
 * @throws StartFailure for what it met, in time.
 */
export const connectOnce = async (url: string): Promise<RedisConnection> => {
  const { place, connect } = placeOf(url)
  const client = new Redis({
    ...connect,
    lazyConnect: true,
    connectTimeout: checkTimeoutMs,
    commandTimeout: checkTimeoutMs,
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    enableReadyCheck: false, // it would wait for data that is still being loaded
    retryStrategy: () => null,
  })
  // The reason comes as an event; what the call rejects with often is "Connection is closed".
  let reason: unknown
  client.on('error', (error) => (reason ??= error))
  try {
    await withTimeout(checkTimeoutMs, 'connecting to Redis', client.connect())
    // The driver goes on in database 0 where the one of the URL is refused.
    if (place.database > 0) await client.select(place.database)
  } catch (error) {
    client.disconnect()
    const failure = redisFailure(reason ?? error, place)
    if (failure?.exitCode === exitCodes.configuration) throw failure
    throw (
      (await tlsMismatch(place)) ??
      failure ??
      unavailableFailure(`REDIS_URL: ${place.host}:${place.port} does not answer as Redis does`)
    )
  }
  return { client, [Symbol.asyncDispose]: async () => client.disconnect() }
}

/** An answer of Redis to a command as a sentence; null where it is none that is known. */
export const explainRedis = (error: unknown, url: string): StartFailure | null =>
  redisFailure(error, placeOf(url).place)
