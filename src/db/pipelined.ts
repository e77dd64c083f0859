// A transaction whose BEGIN and COMMIT are sent with its statements. Invariant: COMMIT is sent after the last statement and
// only then; after a lost connection nothing more is sent, so that no statement runs outside the transaction.
import type postgres from 'postgres'
import { unavailable } from '../errors.ts'

/** One call of the database. */
export interface Call {
  /** Its deadline has passed: the caller has its error. */
  expired: boolean
}

/** What a pipelined transaction has sent: its statements run while nothing waits for them. */
export interface Pipelined<T> {
  /** Resolves with the answer of the last statement. Every rejection of a statement rejects it. */
  sent: Promise<T>
  /** Nothing was written: the transaction is rolled back. */
  isEmpty: boolean
}

/** The transaction was rolled back: nothing of it has happened, and its parts may run again. */
export class RolledBack extends Error {
  override readonly name = 'RolledBack'
}

/**
 * Runs `work` on a connection of the pool. A statement that fails makes PostgreSQL answer COMMIT with a rollback, so that
 * COMMIT may be on its way before the answer of the last statement is known.
 */
export const runPipelined = async <T>(
  pool: postgres.Sql,
  call: Call,
  work: (sql: postgres.ReservedSql) => Promise<Pipelined<T>>,
): Promise<T> => {
  const connection = await pool.reserve().catch((error: unknown) => {
    throw new RolledBack('no connection', { cause: error })
  })
  const rollBack = async (cause: unknown): Promise<never> => {
    await connection`rollback`.catch(() => {}) // the connection may be gone, and the transaction with it
    throw new RolledBack('a statement failed', { cause })
  }
  try {
    if (call.expired) throw new RolledBack('late')
    const begun = connection`begin`
    begun.catch(() => {}) // sends it; its failure fails the statements behind it
    const { sent, isEmpty } = await work(connection).catch(rollBack)
    if (call.expired) return await rollBack(unavailable())
    if (isEmpty) {
      await connection`rollback`.catch(() => {})
      return await sent
    }
    const [answer, outcome] = await Promise.allSettled([sent, connection`commit`])
    if (outcome.status === 'rejected') throw unavailable(outcome.reason) // whether it committed is unknown
    const cause: unknown = answer.status === 'rejected' ? answer.reason : undefined
    if (outcome.value.command !== 'COMMIT') throw new RolledBack('a statement failed', { cause })
    if (answer.status === 'rejected') throw unavailable(cause) // it has committed, although its rows could not be read
    return answer.value
  } finally {
    connection.release()
  }
}
