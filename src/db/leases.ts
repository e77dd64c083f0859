// Leases on shards: advisory locks of one session on a connection of its own. Invariant: locks end with that session,
// and PostgreSQL ends a session without a statement for `silentMs`, so that a hung or disconnected worker loses its
// leases. They only avoid duplicate work; the position makes effects happen once. Needs a direct connection or a
// session-mode pool: a pooler in transaction mode would lose the locks.
import postgres from 'postgres'
import { withTimeout } from '../async/timeout.ts'
import { unavailable } from '../errors.ts'
import { addressOf, driverOptions } from './address.ts'
import type { Tx } from './client.ts'
import { translate } from './errors.ts'

/** First half of the advisory lock keys. The second is the shard, or the loop. */
const space = { presence: 7_108_001, shard: 7_108_002, loop: 7_108_003 } as const

const loops = { overdue: 0, maintenance: 1, text: 2, statistics: 3, 'due-soon': 4 } as const

/** Locks a loop until the transaction ends. @returns false where another transaction has it; does not wait. */
export const tryLockLoop = async (tx: Tx, name: keyof typeof loops): Promise<boolean> => {
  const [row] = await tx<{ isLocked: boolean }[]>`
    select pg_try_advisory_xact_lock(${space.loop}, ${loops[name]}) as "isLocked"`
  return row!.isLocked
}

export interface Leases extends AsyncDisposable {
  /** Aborts when the connection is lost: all leases have ended. */
  readonly lost: AbortSignal
  /** The number of workers and the place of this one, from 0. Keeps the session alive. */
  survey(): Promise<{ workers: number; place: number }>
  /** Acquires up to `count` free shards of these. @returns the acquired ones. */
  acquire(shards: number[], count: number): Promise<number[]>
  /** Call it only after the runs on these shards have ended. */
  release(shards: number[]): Promise<void>
}

export interface LeaseOptions {
  url: string
  applicationName: string
  /** For each statement; a statement that exceeds it ends the session. */
  deadlineMs?: number
  /** PostgreSQL ends the session after this time without a statement. */
  silentMs?: number
}

/** Connects and registers this worker. Every call throws AppError `unavailable` when the session is lost. */
export const openLeases = async (options: LeaseOptions): Promise<Leases> => {
  const { deadlineMs = 1_500, silentMs = 3_000 } = options
  const lost = new AbortController()
  const { applicationName } = options
  const given = driverOptions(addressOf(options.url), { applicationName, connectTimeoutMs: deadlineMs })
  const pool = postgres({
    ...given,
    max: 1,
    max_lifetime: null, // the session is the lease
    onclose: () => lost.abort(),
    connection: {
      ...given.connection,
      statement_timeout: deadlineMs,
      idle_session_timeout: silentMs,
    },
  })

  /** A connection with a missed deadline may never answer again: the session ends with it. */
  const withDeadline = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await withTimeout(deadlineMs, 'a statement of the lease session', work, unavailable)
    } catch (error) {
      lost.abort()
      void pool.end({ timeout: 0 })
      throw translate(error)
    }
  }

  // Reserved: it rejects after a loss, where the pool would open a new session without the locks.
  const sql = await withDeadline(pool.reserve())
  await withDeadline(sql`select pg_advisory_lock_shared(${space.presence}, 0)`)
  const ours = (half: number) => sql`
    locktype = 'advisory' and classid = ${half} and granted
      and database = (select oid from pg_database where datname = current_database())`

  return {
    lost: lost.signal,
    async survey() {
      const pids = await withDeadline(sql<{ isMine: boolean }[]>`
        select pid = pg_backend_pid() as "isMine"
        from pg_locks
        where ${ours(space.presence)}
        order by pid`)
      return { workers: pids.length, place: pids.findIndex(({ isMine }) => isMine) }
    },
    async acquire(shards, count) {
      const taken = await withDeadline(sql<{ shard: number }[]>`
        with free as materialized (
          select shard from unnest(${shards}::int[]) as shard
          where shard not in (select objid::int from pg_locks where ${ours(space.shard)})
          order by random()
          limit ${count}
        )
        select shard from free where pg_try_advisory_lock(${space.shard}, shard)`)
      return taken.map(({ shard }) => shard)
    },
    async release(shards) {
      await withDeadline(sql`
        select pg_advisory_unlock(${space.shard}, shard) from unnest(${shards}::int[]) as shard`)
    },
    async [Symbol.asyncDispose]() {
      lost.abort()
      await pool.end({ timeout: 1 })
    },
  }
}
