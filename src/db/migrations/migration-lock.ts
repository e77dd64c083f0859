// One migration at a time, whatever process it runs in: an advisory lock, of a transaction or of a session.
import type postgres from 'postgres'

const lockKey = 7_108_437_065
const lockTimeoutMs = 10_000
const pollMs = 50

/**
 * One transaction that holds the migrations' lock: waits for another process's migration as long as that takes, for
 * the tables' locks only briefly. It waits between transactions: one that waits keeps a snapshot, and an index that is
 * built concurrently waits for all of those.
 */
export const locked = async <T>(
  sql: postgres.Sql,
  work: (tx: postgres.TransactionSql) => Promise<T>,
): Promise<T> => {
  for (;;) {
    const done = await sql.begin(async (tx) => {
      if (!(await tryLock(tx`select pg_try_advisory_xact_lock(${lockKey}) as "isOurs"`))) return null
      // A migration that waits for a lock stops all traffic behind it: better to fail and be run again.
      await tx`select set_config('lock_timeout', ${String(lockTimeoutMs)}, true)`
      return { value: await work(tx) }
    })
    if (done) return done.value
    await Bun.sleep(pollMs)
  }
}

const tryLock = async (query: PromiseLike<postgres.Row[]>): Promise<boolean> =>
  (await query)[0]!['isOurs'] === true

/** The same lock until it is disposed, for what cannot run inside a transaction. */
export const lockSession = async (sql: postgres.Sql): Promise<AsyncDisposable> => {
  while (!(await tryLock(sql`select pg_try_advisory_lock(${lockKey}) as "isOurs"`))) await Bun.sleep(pollMs)
  return {
    [Symbol.asyncDispose]: async () => {
      await sql`select pg_advisory_unlock(${lockKey})`
    },
  }
}
