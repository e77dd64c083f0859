// Connections to Redis, and the only module that imports the driver. Invariant: every wait for Redis has a deadline, and a
// connection that stops answering is discarded: a half-open one never recovers by itself.
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
  /** Commands succeed or fail within a second; while Redis is away they fail at once. None is sent twice. */
  request: {
    commandTimeout: 1_000,
    socketTimeout: 2_000,
    connectTimeout: 1_000,
    maxRetriesPerRequest: 1,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
  },
  /** For one blocking command: commands wait until Redis is back. The caller sets the deadline. */
  blocking: {
    socketTimeout: 15_000,
    connectTimeout: 1_000,
    maxRetriesPerRequest: null,
  },
  /**
   * For the workers of job queues, which open another for their blocking command and retry by themselves. Without the
   * time-out one stayed dead for 45 s after a network that swallowed packets for 10 s was back. Commands that a lost
   * connection left unanswered are sent again: the driver would forget them otherwise, and a queue that waits for one
   * would run no job any more. Twice does no harm, because rows decide what runs.
   */
  jobs: {
    socketTimeout: 15_000,
    connectTimeout: 1_000,
    maxRetriesPerRequest: null,
    autoResendUnfulfilledCommands: true,
  },
  /** For pub/sub: the caller pings, and subscribes its channels again on each connection. */
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

/** The driver reads options from a URL's parameters, deadlines included: it receives the parts instead. */
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
 * Starts connecting and returns at once; Redis may be away. Closing takes half a second at most. While Redis is away, the
 * connections of a process together log it once a minute.
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
      client.removeListener('error', away) // an intended close is not logged
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
 * Connects once, for a check: resolves with a connection that answers.
 * @throws StartFailure with the reason, within the deadline.
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
    enableReadyCheck: false, // it would wait while Redis loads its data
    retryStrategy: () => null,
  })
  // The reason is emitted as an event; the call often rejects with "Connection is closed" only.
  let reason: unknown
  client.on('error', (error) => (reason ??= error))
  try {
    await withTimeout(checkTimeoutMs, 'connecting to Redis', client.connect())
    // The driver continues in database 0 where Redis refuses the one of the URL.
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

/** A start failure for an error reply of Redis; null for an unknown error. */
export const explainRedis = (error: unknown, url: string): StartFailure | null =>
  redisFailure(error, placeOf(url).place)
