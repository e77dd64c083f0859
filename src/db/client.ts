// The database as three verbs: read, transact, snapshot. One deadline covers the wait in the caller's queue, the wait for
// a connection, statements and retries. The queue is fair between callers, so that one cannot take the whole pool;
// `half-open.ts` closes half-open connections. A transaction that has begun is retried only when PostgreSQL rolled it back.
import postgres from 'postgres'
import { backOffMs } from '../async/back-off.ts'
import { Deadline } from '../async/timeout.ts'
import { AppError, unavailable } from '../errors.ts'
import { FairQueue } from '../limits/fair-queue.ts'
import type { Log } from '../log.ts'
import { addressOf, driverOptions } from './address.ts'
import { CallTimeout, codeOf, isConflict, isConnectionLost, translate } from './errors.ts'
import { HalfOpenWatch, type PoolUse } from './half-open.ts'
import { runPipelined, type Call, type Pipelined } from './pipelined.ts'
import { types } from './types.ts'

declare const inTransaction: unique symbol

/** A connection, pooled or inside a transaction: the first parameter of every SQL function. */
export type Queryable = postgres.ISql

/** A connection inside a transaction. Only `transact` and `snapshot` create one. */
export type Tx = Queryable & { readonly [inTransaction]: true }

export interface CallOptions {
  /** For the whole call: waiting, statements, retries. */
  deadlineMs?: number
  /** How many of the caller's turns the call counts for (1). */
  weight?: number
}

/**
 * Of calls that keep PostgreSQL busy for tens of milliseconds, such as searches and changes of many tasks: a caller has
 * two of them in flight, where eight would occupy every core.
 */
export const heavy = { weight: 4 } as const satisfies CallOptions

/** All three throw AppError: `unavailable` when PostgreSQL is away, slow, or the outcome of a COMMIT unknown. */
export interface DatabaseCalls {
  /** Reads only: `work` runs up to three times, again when its connection was lost. */
  read<T>(work: (sql: Queryable) => Promise<T>, options?: CallOptions): Promise<T>
  /** READ COMMITTED. `work` runs up to three times, again on 40001 and 40P01: it must have no effects but SQL. */
  transact<T>(work: (tx: Tx) => Promise<T>, options?: CallOptions): Promise<T>
  /** REPEATABLE READ READ ONLY: every statement of `work` sees one state of the database. */
  snapshot<T>(work: (tx: Tx) => Promise<T>, options?: CallOptions): Promise<T>
  /** Why PostgreSQL refused a write in the last minute (disk, memory, read-only); null where it did not. For health checks. */
  refusedWrite(): string | null
}

/** Transactions that hold the writes of many callers. */
export interface BatchDatabase {
  /**
   * Runs `work` once, on a connection of its own kind: a few, with a short lock timeout, beside the pool and the queue of
   * callers. BEGIN and COMMIT are sent with the statements of `work` instead of waiting for an answer each. Throws
   * `RolledBack` where nothing was committed, and AppError 503 where the outcome is unknown.
   */
  batch<T>(work: (tx: Tx) => Promise<Pipelined<T>>): Promise<T>
}

/** The caller of the process's own work: its calls bypass the queue. */
export const systemCaller = Symbol('system')

/** The verbs of one caller share its queue and its limit of running calls: 429 `rate_limited` when the queue is full. */
export interface CallerDatabase {
  /** @param caller a user's id, `address:<key>` of a request without a user, or `systemCaller`. */
  of(caller: string | typeof systemCaller): DatabaseCalls
}

/** Its own verbs have no caller and bypass the queue: for work of the process itself. */
export interface Database extends DatabaseCalls, CallerDatabase, BatchDatabase, AsyncDisposable {
  /** Callers with a call in flight or waiting; for metrics and tests. */
  readonly calls: Pick<FairQueue, 'size' | 'running' | 'waitingOf'>
  /** Connections by pool and state. */
  poolUse(): Record<'calls' | 'batches', PoolUse>
}

export interface DatabaseOptions {
  url: string
  /** Connections in the pool. */
  max: number
  /** Calls in flight of one caller (8); never more than half of the pool. */
  callsPerCaller?: number
  applicationName: string
  log: Log
  /** Of a call without its own. Below `statementTimeoutMs`, so that a long call has to set its deadline. */
  deadlineMs?: number
  statementTimeoutMs?: number
  connectTimeoutMs?: number
}

const maxTries = 3
const defaultStatementTimeoutMs = 10_000
const maxEndSeconds = 5
/** Batches at once. Their connections are opened when they are needed. */
export const batchConnections = 4
/**
 * A batch that waits longer, for a shard's head or a key, is rolled back, and its members wait alone. All its statements
 * look rows up by their keys: a plan that was made when a table was small, and that joins by reading all of it, would be
 * kept until the next ANALYZE, while the table grows by thousands of rows a second.
 */
const batchSettings = {
  lock_timeout: 200,
  enable_seqscan: false,
  enable_hashjoin: false,
  enable_mergejoin: false,
}
/** Longest queue of one caller, in calls. */
const maxWaitingCalls = 512
/** Connections that callers cannot use, for the process itself: health checks, replays for sockets. */
const reservedConnections = 2

/** SQLSTATE → why writes fail although PostgreSQL answers. */
const refusals: Record<string, string> = {
  '53100': 'The disk of PostgreSQL is full',
  '53200': 'PostgreSQL is out of memory',
  '25006': 'PostgreSQL only reads',
}
/** Only another write shows that the cause has passed, so a refusal counts this long. */
const refusalCountsMs = 60_000

/** Opens no connection yet: the first calls do. */
export const openDatabase = (options: DatabaseOptions): Database => {
  const { log, deadlineMs: defaultDeadlineMs = 4_000, callsPerCaller = 8 } = options
  const calls = new FairQueue({
    atOnce: Math.max(1, options.max - reservedConnections),
    perCaller: Math.max(1, Math.min(callsPerCaller, Math.floor(options.max / 2))),
    maxWaiting: maxWaitingCalls,
  })
  const pool = openPool(options, options.max)
  const { statementTimeoutMs = defaultStatementTimeoutMs } = options
  const openOne = (): postgres.Sql => openPool(options, 1)
  const batchPool = openPool(options, batchConnections, batchSettings)
  const watchOf = (watched: postgres.Sql) =>
    new HalfOpenWatch({ pool: watched, openOne, statementTimeoutMs, log })
  const [callsWatch, batchesWatch] = [watchOf(pool), watchOf(batchPool)]

  let refused = { reason: '', at: -Infinity }
  const withDeadline = async <T>(
    caller: string | null,
    { deadlineMs = defaultDeadlineMs, weight = 1 }: CallOptions,
    run: (call: Call) => Promise<T>,
  ): Promise<T> => {
    const call: Call = { expired: false }
    const turn = caller === null ? null : calls.enter(caller, weight)
    /** Keeps the slot until the statements have ended, which may be after the deadline. */
    const inTurn = async (): Promise<T> => {
      try {
        await turn?.ready
        return await run(call)
      } finally {
        turn?.leave()
      }
    }
    using deadline = new Deadline(deadlineMs, () => {
      call.expired = true
      if (!turn?.isWaiting)
        return unavailable(new CallTimeout(`no answer from PostgreSQL within ${deadlineMs} ms`))
      turn.leave()
      return unavailable(new Error(`the caller queue did not advance within ${deadlineMs} ms`))
    })
    try {
      return await deadline.race(inTurn())
    } catch (error) {
      const reason = refusals[codeOf(error instanceof AppError ? error.cause : error)]
      if (reason !== undefined) refused = { reason, at: performance.now() }
      throw translate(error)
    }
  }

  const withRetries = async <T>(
    call: Call,
    isSafe: (error: unknown) => boolean,
    run: () => Promise<T>,
  ): Promise<T> => {
    for (let tries = 1; ; tries += 1) {
      try {
        return await run()
      } catch (error) {
        if (tries === maxTries || call.expired || !isSafe(error)) throw error
        await Bun.sleep(Math.random() * 10 * tries) // random, or two that deadlocked collide again
      }
    }
  }

  /** @param isReadOnly it has no effects, so it is also retried after a lost connection. */
  const transaction = <T>(
    caller: string | null,
    mode: string,
    isReadOnly: boolean,
    work: (tx: Tx) => Promise<T>,
    options: CallOptions,
  ) =>
    withDeadline(caller, options, (call) => {
      let stage: 'waiting' | 'working' | 'committing' = 'waiting'
      const isSafe = (error: unknown): boolean =>
        isConnectionLost(error) ? isReadOnly || stage === 'waiting' : isConflict(error) && stage === 'working'
      // 25006 of a write means a standby and is temporary; in a snapshot it is a bug and stays unchanged.
      const explain = (error: unknown): never => {
        throw !isReadOnly && codeOf(error) === '25006' ? unavailable(error) : error
      }
      const run = async () => {
        stage = 'waiting'
        const done = await pool.begin(mode, async (sql) => {
          stage = 'working'
          // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the brand exists for the compiler only
          const value = await work(sql as unknown as Tx)
          if (call.expired) throw unavailable() // the caller has its error: roll back
          stage = 'committing' // from here a lost connection is an unknown outcome
          return { value }
        })
        return done.value
      }
      return withRetries(call, isSafe, run).catch(explain)
    })

  const verbsOf = (caller: string | null): DatabaseCalls => ({
    read: (work, options = {}) =>
      withDeadline(caller, options, (call) => withRetries(call, isConnectionLost, () => work(pool))),
    transact: (work, options = {}) =>
      transaction(caller, 'isolation level read committed', false, work, options),
    snapshot: (work, options = {}) =>
      transaction(caller, 'isolation level repeatable read read only', true, work, options),
    refusedWrite: () => (performance.now() - refused.at < refusalCountsMs ? refused.reason : null),
  })

  return {
    ...verbsOf(null),
    of: (caller) => verbsOf(caller === systemCaller ? null : caller),
    batch: (work) =>
      withDeadline(null, {}, (call) =>
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the brand exists for the compiler only
        runPipelined(batchPool, call, (sql) => work(sql as unknown as Tx)),
      ),
    calls,
    poolUse: () => ({ calls: callsWatch.use(), batches: batchesWatch.use() }),
    [Symbol.asyncDispose]: async () => {
      await Promise.all([callsWatch, batchesWatch].map((watch) => watch[Symbol.asyncDispose]()))
      const timeout = Math.min(defaultDeadlineMs / 1000, maxEndSeconds)
      await Promise.all([pool.end({ timeout }), batchPool.end({ timeout })])
    },
  }
}

const openPool = (
  options: DatabaseOptions,
  max: number,
  settings: Record<string, number | boolean> = {},
): postgres.Sql => {
  const { applicationName, connectTimeoutMs = 2_000 } = options
  const given = driverOptions(addressOf(options.url), { applicationName, connectTimeoutMs })
  return postgres({
    ...given,
    max,
    types,
    // The driver's default grows to 20 s, which would delay the recovery after PostgreSQL returns.
    backoff: (failures) => backOffMs(failures + 1, 20, 250) / 1000,
    onnotice: (notice) => options.log.debug({ notice: notice['message'] }, 'notice from PostgreSQL'),
    connection: {
      ...given.connection,
      default_transaction_isolation: 'read committed',
      plan_cache_mode: 'force_generic_plan', // statements are prepared once and planned once (docs/decisions.md)
      statement_timeout: options.statementTimeoutMs ?? defaultStatementTimeoutMs,
      lock_timeout: 2_000,
      idle_in_transaction_session_timeout: 5_000,
      client_connection_check_interval: 1_000, // a statement without its client ends within a second
      ...settings,
    },
  })
}
