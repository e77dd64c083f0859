// The composition root of a server: its parts, opened in order on one stack and closed in reverse. Only the files
// `compose…` construct and join parts; all other code receives the slice it needs.
import { OnFirstUse } from '../async/on-first-use.ts'
import type { Config } from '../config.ts'
import type { Database } from '../db/client.ts'
import { openReads } from '../db/reads.ts'
import type { Deps } from './deps.ts'
import { createAuthenticator } from '../auth/authenticator.ts'
import { createPasswords } from '../auth/passwords.ts'
import { OverrideReads } from '../domain/activity/override-reads.ts'
import { Snapshots } from '../domain/snapshot.ts'
import { WriteCoalescer } from '../domain/write-coalescer.ts'
import { Bus } from '../changelog/bus.ts'
import { LogFollower } from '../changelog/follower/log-follower.ts'
import { createPublisher, type Publisher } from '../changelog/publisher.ts'
import { createRedisProbe } from '../redis/redis-check.ts'
import { ServerRegistry } from '../changelog/servers.ts'
import { newLiveStats } from '../changelog/live-stats.ts'
import { createStorageProbe } from '../storage/open.ts'
import { newFeedStages } from '../metrics/feed-stages.ts'
import { BodyBudget } from '../http/body/body-budget.ts'
import { KeptAnswers } from '../http/kept-answers.ts'
import { RouteMeters } from '../http/route-meters.ts'
import { SharedAnswers } from '../http/shared-answers.ts'
import { UnsentAnswers } from '../http/unsent-answers.ts'
import { createAttempts } from '../limits/attempts.ts'
import { policiesOf } from '../limits/policies.ts'
import { RedisCounters } from '../limits/redis-counters.ts'
import { createWindowLimiter } from '../limits/window.ts'
import { WrittenBytes } from '../limits/written-bytes.ts'
import { createTokens } from '../auth/tokens.ts'
import { Waiters } from '../limits/waiters.ts'
import type { Log } from '../log.ts'
import { httpUrl } from '../start/http-url.ts'
import type { SocketTimings } from '../ws/protocol.ts'
import { Sockets } from '../ws/sockets.ts'
import { consumers } from '../worker/all-consumers.ts'
import { connectToParent } from './metrics-exchange.ts'
import { serveMetrics, serverMetrics } from './server-metrics.ts'
import { listen, stopAccepting, stopListening, type Listening } from './listen.ts'
import { openBase, type Running } from './base.ts'
import { socketsDeadlineMs } from './shutdown.ts'

/** Long polls of one user that wait on a process; the client has one for each open page. */
const pollsPerUser = 4

/**
 * What the entries of other servers wait for under load, milliseconds; those of this server come without a stream. At 2,000
 * pushes a second it makes some 400 reads of 2,000.
 */
const streamPaceMs = 2

export interface RunningServer extends Running {
  deps: Deps & { db: Database }
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
  const queues = new OnFirstUse(async () => {
    const { openQueues } = await import('../queues/job-queues.ts')
    return openQueues({ redis: redis.client, log })
  })
  stack.defer(async () => (await queues.made)?.[Symbol.asyncDispose]())
  const unsent = new UnsentAnswers()
  const shared = new SharedAnswers({ redis: redis.client, servers, log })
  const parts = {
    config,
    log,
    db,
    systemDb: db,
    reads,
    kept: new KeptAnswers({ reads, shared, unsent }),
    publisher,
    writes: stack.use(new WriteCoalescer({ db, publisher, isOn: config.writeCoalescing })),
    follower,
    bus,
    servers,
    snapshots: new Snapshots({ db, stats }),
    bodies: new BodyBudget(config.bodyMemoryMib * 1024 * 1024),
    unsent,
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
    consumers,
    queues,
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
