// A migrated database of its own for tests of SQL, and a pool to it that logs nothing.
import { openDatabase, type Database, type DatabaseOptions } from '../../src/db/client.ts'
import { createLog } from '../../src/log.ts'
import { testDatabase } from './environment.ts'

export interface OpenedDatabase extends AsyncDisposable {
  db: Database
}

/** Disposing it closes the pool and drops the database. */
export const openTestDatabase = async (options: Partial<DatabaseOptions> = {}): Promise<OpenedDatabase> => {
  const { url, ...database } = await testDatabase()
  const log = createLog('test', 'silent')
  const db = openDatabase({ url, max: 4, applicationName: 'test', log, ...options })
  return {
    db,
    async [Symbol.asyncDispose]() {
      await db[Symbol.asyncDispose]()
      await database[Symbol.asyncDispose]()
    },
  }
}

/**
 * For tests of plans: one connection, so that its own counters can be flushed before they are read, and limits of time far
 * beyond what a plan takes, because the machine is not tested.
 */
export const planOptions = (timeoutMs = 60_000): Partial<DatabaseOptions> => ({
  max: 1,
  statementTimeoutMs: timeoutMs,
  deadlineMs: timeoutMs,
})
