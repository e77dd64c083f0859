// The composition root of a worker: its parts, opened in order on one stack and closed in reverse.
import type { Config } from '../config.ts'
import { ensureEpoch } from '../db/log/epochs.ts'
import { createPublisher } from '../changelog/publisher.ts'
import { startSweeper } from '../changelog/sweeper.ts'
import type { Log } from '../log.ts'
import { openMailer } from '../mail/open-mailer.ts'
import { newFeedStages } from '../metrics/feed-stages.ts'
import { openRedis } from '../redis/connection.ts'
import { createRedisProbe } from '../redis/redis-check.ts'
import { createStorageProbe } from '../storage/open.ts'
import { serveInternally } from '../metrics/internal-server.ts'
import { usualWorkerPort } from '../settings/table.ts'
import { httpUrl } from '../start/http-url.ts'
import { startWorker } from '../worker/runner.ts'
import { openBase, type Running } from './base.ts'

/** Starts a worker: the sweeper, the consumers of the log, and the loops. Resolves when its health port answers. */
export const openWorker = async (config: Config, log: Log): Promise<Running> => {
  await using stack = new AsyncDisposableStack()
  const { db, tailDb, redis, storage, connect } = await openBase(stack, config, log, 'worker')
  const { internalHost: host, workerPort } = config
  const internal = stack.use(
    serveInternally({
      host,
      port: workerPort ?? usualWorkerPort,
      orFree: workerPort === null,
      setting: 'WORKER_PORT',
    }),
  )
  const { port } = internal
  if (workerPort === null && port !== usualWorkerPort)
    log.info(
      { port },
      `WORKER_PORT is not set and ${usualWorkerPort} is in use: this worker takes a free port`,
    )
  const stages = newFeedStages()
  const { commitToStream } = stages
  const publisher = stack.use(createPublisher({ redis: redis.client, db, log, commitToStream }))
  const sweeper = stack.use(
    startSweeper({
      redis: redis.client,
      db: tailDb,
      log,
      onLost: (epoch) => db.transact((tx) => ensureEpoch(tx, epoch)),
    }),
  )
  const mailer = stack.use(openMailer(config, log))
  const { destination } = mailer
  log.info({ destination }, 'mails are sent to this destination')
  void mailer.health.check().then((trouble) => trouble !== null && log.warn({ destination }, trouble.text))
  stack.use(
    await startWorker({
      config,
      log,
      db,
      publisher,
      stages,
      sweeper: sweeper.stats,
      connect,
      connectJobs: () => openRedis(config.redisUrl, 'jobs', log),
      tailDb,
      redis: redis.client,
      mailer,
      storage,
      storageHealth: createStorageProbe(storage),
      redisHealth: createRedisProbe(redis),
      internal,
    }),
  )
  const owned = stack.move()
  return { url: httpUrl(host, port), port, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}
