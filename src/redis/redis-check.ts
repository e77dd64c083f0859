// What a role requires of Redis: before the start its version and access, at run time that it accepts writes. A role also
// starts while Redis is away: events are then read from PostgreSQL, later than usual.
import { withTimeout } from '../async/timeout.ts'
import { messageOf } from '../errors.ts'
import type { Warnings } from '../log.ts'
import { configurationFailure, exitCodes, StartFailure, unavailableFailure } from '../start/failure.ts'
import { cluster, redisAnswer, replica, sentinel } from '../start/redis.ts'
import { connectOnce, explainRedis, type RedisConnection } from './connection.ts'

const oldest = { major: 6, minor: 2 }
const checkTimeoutMs = 3_000

/**
 * Warns where Redis is away or may evict keys.
 * @throws StartFailure where the settings are wrong.
 */
export const checkRedis = async (url: string, log: Warnings): Promise<void> => {
  try {
    await using connection = await connectOnce(url)
    await requireServer(connection, log)
  } catch (error) {
    const failure = error instanceof StartFailure ? error : explainRedis(error, url)
    if (failure?.exitCode === exitCodes.configuration) throw failure
    log.warn(
      { oncePerMinute: 'redis is away' },
      `${failure?.message ?? messageOf(error)}; starting without it, events come later until it is back`,
    )
  }
}

/**
 * Everything about a Redis that a role needs, its writes too.
 * @returns what it is, with its version. @throws StartFailure, also where it is away.
 */
export const examineRedis = async (url: string, log: Warnings): Promise<string> => {
  try {
    await using connection = await connectOnce(url)
    const version = await requireServer(connection, log)
    const { reason } = await createRedisProbe(connection)()
    if (reason !== undefined) throw unavailableFailure(`REDIS_URL: ${reason}`)
    return version
  } catch (error) {
    if (error instanceof StartFailure) throw error
    throw explainRedis(error, url) ?? unavailableFailure(`REDIS_URL: ${messageOf(error)}`)
  }
}

/** @returns what it is, with its version. */
const requireServer = async ({ client }: RedisConnection, log: Warnings): Promise<string> => {
  const info = await withTimeout(checkTimeoutMs, 'checking Redis', client.info())
  const fact = (name: string): string => new RegExp(`^${name}:(.*?)\\s*$`, 'm').exec(info)?.[1] ?? ''
  const [major = 0, minor = 0] = fact('redis_version').split('.').map(Number)
  if (major < oldest.major || (major === oldest.major && minor < oldest.minor))
    throw configurationFailure(
      `REDIS_URL names Redis ${fact('redis_version')}, and Tasktide needs Redis 6.2, Valkey 7.2 or later: upgrade it, or name another`,
    )
  if (fact('redis_mode') === 'sentinel') throw sentinel()
  if (fact('cluster_enabled') === '1') throw cluster()
  if (fact('role') === 'slave') throw replica()
  const policy = fact('maxmemory_policy')
  if (policy !== '' && policy !== 'noeviction')
    log.warn(
      { policy },
      `REDIS_URL: Redis evicts keys when its memory is full (maxmemory-policy ${policy}): set maxmemory-policy noeviction`,
    )
  const valkey = fact('valkey_version')
  return valkey === '' ? `Redis ${fact('redis_version')}` : `Valkey ${valkey}`
}

export interface RedisHealth {
  status: 'up' | 'degraded'
  /** Why it is degraded; contains no address. */
  reason?: string
}

export type RedisProbe = () => Promise<RedisHealth>

const probeTimeoutMs = 800
const probeEveryMs = 500
const probeKey = 'tide:probe'
const probeSeconds = 60

/**
 * Whether Redis accepts a write, which a connection alone does not prove (memory, disk, a replica). Results are cached:
 * Redis receives at most two probes a second.
 */
export const createRedisProbe = ({ client }: RedisConnection): RedisProbe => {
  let probedAt = -Infinity
  let result: Promise<RedisHealth>
  return () => {
    if (performance.now() - probedAt >= probeEveryMs) {
      probedAt = performance.now()
      result = probe(client)
    }
    return result
  }
}

const probe = async (client: RedisConnection['client']): Promise<RedisHealth> => {
  if (client.status !== 'ready') return { status: 'degraded', reason: 'Redis is away' }
  try {
    await withTimeout(probeTimeoutMs, 'writing to Redis', client.set(probeKey, '1', 'EX', probeSeconds))
    return { status: 'up' }
  } catch (error) {
    const sentence = redisAnswer(error)?.message.replace(/^REDIS_URL:? /, '')
    return { status: 'degraded', reason: sentence ?? 'Redis does not answer in time' }
  }
}
