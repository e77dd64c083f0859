// The composition root of commands that write: the write path without a server.
import { settledWithin } from '../async/timeout.ts'
import type { Config } from '../config.ts'
import { openDatabase } from '../db/client.ts'
import type { WriteDeps } from '../domain/write.ts'
import { createPublisher } from '../changelog/publisher.ts'
import type { Log } from '../log.ts'
import { openRedis, type RedisConnection } from '../redis/connection.ts'
import { checkParts } from './base.ts'

export interface Writer extends WriteDeps, AsyncDisposable {}

/** How long a command waits for Redis; while Redis is away, the sweeper of a worker publishes what the command wrote. */
const redisWaitMs = 2_000

export const openWriter = async (
  config: Pick<Config, 'databaseUrl' | 'redisUrl'>,
  log: Log,
): Promise<Writer> => {
  await using stack = new AsyncDisposableStack()
  const { databaseUrl: url, redisUrl } = config
  await checkParts(config, log)
  const db = stack.use(openDatabase({ url, max: 2, applicationName: 'tasktide command', log }))
  const redis = stack.use(openRedis(redisUrl, 'request', log))
  const publisher = stack.use(createPublisher({ redis: redis.client, db, log }))
  await settledWithin(redisWaitMs, waitUntilUp(redis))
  const owned = stack.move()
  return { db, publisher, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

const waitUntilUp = (redis: RedisConnection): Promise<void> =>
  new Promise((resolve) => {
    if (isUp(redis)) resolve()
    else redis.client.once('ready', resolve)
  })

const isUp = ({ client }: RedisConnection): boolean => client.status === 'ready'
