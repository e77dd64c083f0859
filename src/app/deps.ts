// The list of all parts of a server process. Types only: `compose.ts` makes the values and disposes them; functions
// below this folder declare the slice they need.
import type { Authenticator } from '../auth/authenticator.ts'
import type { Passwords } from '../auth/passwords.ts'
import type { Tokens } from '../auth/tokens.ts'
import type { Bus } from '../changelog/bus.ts'
import type { LogFollower } from '../changelog/follower/log-follower.ts'
import type { LiveStats } from '../changelog/live-stats.ts'
import type { Publisher } from '../changelog/publisher.ts'
import type { ServerRegistry } from '../changelog/servers.ts'
import type { Config } from '../config.ts'
import type { CallerDatabase, DatabaseCalls } from '../db/client.ts'
import type { Reads } from '../db/reads.ts'
import type { OverrideReads } from '../domain/activity/override-reads.ts'
import type { LetterHandler } from '../domain/dead-letters.ts'
import type { Snapshots } from '../domain/snapshot.ts'
import type { TaskWrites } from '../domain/write-coalescer.ts'
import type { BodyBudget } from '../http/body/body-budget.ts'
import type { KeptAnswers } from '../http/kept-answers.ts'
import type { RouteMeters } from '../http/route-meters.ts'
import type { UnsentAnswers } from '../http/unsent-answers.ts'
import type { Attempts } from '../limits/attempts.ts'
import type { Waiters } from '../limits/waiters.ts'
import type { RateLimiter } from '../limits/window.ts'
import type { WrittenBytes } from '../limits/written-bytes.ts'
import type { Log } from '../log.ts'
import type { StorageProbe } from '../storage/open.ts'
import type { Storage } from '../storage/storage.ts'
import type { OnFirstUse } from '../async/on-first-use.ts'
import type { JobQueues } from '../queues/job-queues.ts'
import type { RedisProbe } from '../redis/redis-check.ts'

/** Everything a server process is made of. */
export interface Deps {
  config: Config
  log: Log
  /** For calls on behalf of a caller, whose concurrent calls are limited. */
  db: CallerDatabase
  /** For calls of the process itself, none of which a request or a frame causes. */
  systemDb: DatabaseCalls
  /** Reads that share statements, each in the queue of its caller. */
  reads: Reads
  /** Answers of lists that are sent again while nothing they show has changed. */
  kept: KeptAnswers
  publisher: Publisher
  /** Runs writes to tasks, those of several requests in one transaction. */
  writes: TaskWrites
  /** Positions in the log, subscriptions to its entries, and the history they catch up from. */
  follower: LogFollower
  /** Pub/sub between processes; nothing is stored. */
  bus: Bus
  /** The registry of server processes that accept connections. */
  servers: ServerRegistry
  snapshots: Snapshots
  /** Bytes of request bodies being read. */
  bodies: BodyBudget
  /** Bytes of large answers that are not sent yet. */
  unsent: UnsentAnswers
  /** Waiting long polls, by caller. */
  polls: Waiters
  stats: LiveStats
  tokens: Tokens
  authenticator: Authenticator
  passwords: Passwords
  limiter: RateLimiter
  attempts: Attempts
  writtenBytes: WrittenBytes
  /** Objects of attachments and avatars. */
  storage: Storage
  storageHealth: StorageProbe
  /** Notes what admins read by their right alone. */
  overrideReads: OverrideReads
  /** Of the worker: for requeuing dead letters. */
  consumers: readonly LetterHandler[]
  /** The job queues, for administrators to look at: a server runs no job. */
  queues: OnFirstUse<JobQueues>
  /** Whether Redis accepts writes; for health. */
  redisHealth: RedisProbe
  /** Aborted once the process drains: refuse new work, end what waits. */
  draining: AbortSignal
  /** Counts requests by route. */
  meters: RouteMeters
  /** The metrics of this process, or of all that share its port, in the text format of Prometheus. */
  metrics: () => Promise<string>
}
