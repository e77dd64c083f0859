// The composition root: the parts of each role, opened in order on one stack and closed in reverse. Only this file
// constructs and joins parts; all other code receives the slice it needs.
import { settledWithin } from '../async/timeout.ts'
import type { Config } from '../config.ts'
import { openDatabase, type Database } from '../db/client.ts'
import { ensureEpoch } from '../db/log/epochs.ts'
import { ensureFeedPartitions } from '../db/log/partitions.ts'
import { openReads } from '../db/reads.ts'
import { checkDatabase } from '../db/server-check.ts'
import type { Deps } from './deps.ts'
import { createAuthenticator } from '../auth/authenticator.ts'
import { refuseDemoAccounts } from '../domain/users/demo-accounts.ts'
import { createPasswords } from '../auth/passwords.ts'
import { OverrideReads } from '../domain/activity/override-reads.ts'
import { Snapshots } from '../domain/snapshot.ts'
import type { WriteDeps } from '../domain/write.ts'
import { WriteCoalescer } from '../domain/write-coalescer.ts'
import { Bus } from '../changelog/bus.ts'
import { LogFollower } from '../changelog/follower/log-follower.ts'
import { createPublisher, type Publisher } from '../changelog/publisher.ts'
import { openQueues } from '../queues/job-queues.ts'
import { checkRedis, createRedisProbe } from '../redis/redis-check.ts'
import { openRedis, type RedisConnection } from '../redis/connection.ts'
import { ServerRegistry } from '../changelog/servers.ts'
import { newLiveStats } from '../changelog/live-stats.ts'
import { createStorageProbe, openStorage } from '../storage/open.ts'
import { newFeedStages } from '../metrics/feed-stages.ts'
import { startSweeper } from '../changelog/sweeper.ts'
import { BodyBudget } from '../http/body/body-budget.ts'
import { KeptAnswers } from '../http/kept-answers.ts'
import { RouteMeters } from '../http/route-meters.ts'
import { SharedAnswers } from '../http/shared-answers.ts'
import { createAttempts } from '../limits/attempts.ts'
import { policiesOf } from '../limits/policies.ts'
import { RedisCounters } from '../limits/redis-counters.ts'
import { createWindowLimiter } from '../limits/window.ts'
import { WrittenBytes } from '../limits/written-bytes.ts'
import { createTokens } from '../auth/tokens.ts'
import { Waiters } from '../limits/waiters.ts'
import type { Log } from '../log.ts'
import { openMailer } from '../mail/open-mailer.ts'
import { installConsumers } from '../worker/all-consumers.ts'
import { startWorker } from '../worker/runner.ts'
import type { SocketTimings } from '../ws/protocol.ts'
import { Sockets } from '../ws/sockets.ts'
import { connectToParent } from './metrics-exchange.ts'
import { serveMetrics, serverMetrics } from './server-metrics.ts'
import { listen, stopAccepting, stopListening, type Listening } from './listen.ts'
import { socketsDeadlineMs } from './shutdown.ts'

/** Long polls of one user that wait on a process; the client has one for each open page. */
const pollsPerUser = 4

/**
 * What the entries of other servers wait for under load, milliseconds; those of this server come without a stream. At 2,000
 * pushes a second it makes some 400 reads of 2,000.
 */
const streamPaceMs = 2

/** A role that runs until it is disposed. */
export interface Running extends AsyncDisposable {
  url: string
  port: number
  /** The port of the internal server of a server process; null where it has none. */
  internalPort?: number | null
}

export interface RunningServer extends Running {
  deps: Deps & { db: Database }
}

export const httpUrl = (host: string, port: number): string =>
  `http://${host.includes(':') ? `[${host}]` : host}:${port}`

/**
 * Checks what every role requires of PostgreSQL and Redis before it opens anything.
 * @throws StartFailure
 */
export const checkParts = async (
  { databaseUrl, redisUrl }: Pick<Config, 'databaseUrl' | 'redisUrl'>,
  log: Log,
): Promise<void> => {
  await checkDatabase({ url: databaseUrl, log, migrations: 'current' })
  await checkRedis(redisUrl, log)
}

/** The parts that servers and workers have in common. */
const openBase = async (stack: AsyncDisposableStack, config: Config, log: Log, role: string) => {
  await checkParts(config, log)
  const db = stack.use(
    openDatabase({
      url: config.databaseUrl,
      max: config.databasePool,
      callsPerCaller: config.databaseCallsPerUser,
      applicationName: `tasktide ${role}`,
      log,
    }),
  )
  // Connections of its own: confirmations of positions must not wait behind requests.
  const tailDb = stack.use(
    openDatabase({ url: config.databaseUrl, max: 3, applicationName: `tasktide ${role} tail`, log }),
  )
  const redis = stack.use(openRedis(config.redisUrl, 'request', log))
  const storage = stack.use(await openStorage(config, log))
  if (config.env === 'production') await refuseDemoAccounts({ db, passwords: createPasswords(1) })
  await prepareLog(db, log)
  return { db, tailDb, redis, storage, connect: () => openRedis(config.redisUrl, 'blocking', log) }
}

/**
 * Checks the epoch, creates the partitions of the next days, and installs the positions of consumers, so that they miss
 * no entry that is appended before the first worker runs.
 */
const prepareLog = async (db: Database, log: Log): Promise<void> => {
  const { epoch, renewed } = await db.transact((tx) => ensureEpoch(tx))
  if (renewed)
    log.error(
      { epoch },
      'the database cluster is not the one the log was written on: clients read their snapshots again',
    )
  await db.transact((tx) => ensureFeedPartitions(tx))
  await installConsumers(db)
}

/**
 * Starts a server: follows the log, then listens. Resolves when it answers.
 * @param timings of sockets, for tests.
 */
export const openServer = async (
  config: Config,
  log: Log,
  timings: Partial<SocketTimings> = {},
  listening: Listening = { sharesPort: false },
): Promise<RunningServer> => {
  await using stack = new AsyncDisposableStack()
  const { db, tailDb, redis, storage, connect } = await openBase(stack, config, log, 'server')
  const stages = newFeedStages()
  const { commitToStream } = stages
  const streams = stack.use(createPublisher({ redis: redis.client, db, log, commitToStream }))
  const stats = newLiveStats()
  const { fanOutSliceMs } = timings
  const follower = stack.use(
    new LogFollower({
      connect,
      redis: redis.client,
      db,
      tailDb,
      log,
      stats,
      stages,
      fanOutSliceMs,
      paceMs: streamPaceMs,
    }),
  )
  const publisher: Publisher = {
    publish(appended) {
      streams.publish(appended)
      follower.offer(appended)
    },
  }
  const bus = stack.use(new Bus({ redisUrl: config.redisUrl, redis: redis.client, log }))
  const tokens = createTokens(config)
  const authenticator = stack.use(createAuthenticator({ systemDb: db, tokens, follower, log }))
  const counters = new RedisCounters({ redis: redis.client, log })
  const drain = new AbortController()
  const reads = openReads(db)
  const servers = stack.use(new ServerRegistry(redis.client))
  const parts = {
    config,
    log,
    db,
    systemDb: db,
    reads,
    kept: new KeptAnswers({ reads, shared: new SharedAnswers({ redis: redis.client, servers, log }) }),
    publisher,
    writes: stack.use(new WriteCoalescer({ db, publisher, isOn: config.writeCoalescing })),
    follower,
    bus,
    servers,
    snapshots: new Snapshots({ db, stats }),
    bodies: new BodyBudget(config.bodyMemoryMib * 1024 * 1024),
    polls: new Waiters(pollsPerUser),
    stats,
    tokens,
    authenticator,
    passwords: createPasswords(config.passwordHashesAtOnce),
    limiter: createWindowLimiter(counters),
    attempts: createAttempts(counters),
    writtenBytes: new WrittenBytes(counters, policiesOf(config).writtenBytes),
    storage,
    storageHealth: createStorageProbe(storage),
    overrideReads: new OverrideReads(db),
    queues: stack.use(openQueues({ redis: redis.client, log })),
    redisHealth: createRedisProbe(redis),
    draining: drain.signal,
    meters: new RouteMeters(),
  }
  const ofProcess = serverMetrics({ ...parts, tailDb, pushes: streams.stats, replays: stats.replays, stages })
  // Of several processes on one port, whichever is asked answers for all.
  const metrics = listening.sharesPort ? connectToParent(ofProcess) : ofProcess.text
  const deps = { ...parts, metrics } satisfies Deps
  await follower.start()
  const sockets = new Sockets(deps, timings)
  const server = listen(deps, sockets, listening)
  stack.defer(async () => {
    const delayMs = config.drainDelaySeconds * 1_000
    drain.abort()
    await Promise.all([deps.servers.leave(), Bun.sleep(delayMs)])
    // From here on clients connect to another server: refusing their upgrades would make them back off.
    const stopped = stopAccepting(server)
    await sockets.drain(socketsDeadlineMs(delayMs))
    await sockets[Symbol.asyncDispose]()
    await stopListening(server, stopped)
  })
  const internal = listening.sharesPort ? null : stack.use(serveMetrics(config, metrics))
  const owned = stack.move()
  const port = server.port!
  return {
    deps,
    url: httpUrl(config.host, port),
    port,
    internalPort: internal?.port ?? null,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** Starts a worker: the sweeper, the consumers of the log, and the loops. Resolves when its health port answers. */
export const openWorker = async (config: Config, log: Log): Promise<Running> => {
  await using stack = new AsyncDisposableStack()
  const { db, tailDb, redis, storage, connect } = await openBase(stack, config, log, 'worker')
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
  log.info({ destination: mailer.destination }, 'mails go there')
  const worker = stack.use(
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
    }),
  )
  const owned = stack.move()
  return { url: worker.url, port: worker.port, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

export interface Writer extends WriteDeps, AsyncDisposable {}

/** How long a command waits for Redis; while Redis is away, the sweeper of a worker publishes what the command wrote. */
const redisWaitMs = 2_000

/** The write path without a server, for commands. */
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
