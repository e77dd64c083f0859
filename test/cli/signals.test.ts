// Commands end on SIGTERM and SIGINT by a handler of their own: as process 1 of a container they would ignore the signal
// otherwise, and be killed after the whole time that a supervisor grants.
import { expect, test } from 'bun:test'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openDatabase } from '../../src/db/client.ts'
import { createLog } from '../../src/log.ts'
import { testDatabase } from '../support/environment.ts'
import { eventually } from '../support/eventually.ts'

const main = join(import.meta.dir, '..', '..', 'src', 'main.ts')

test.each([
  ['SIGTERM', 143],
  ['SIGINT', 130],
] as const)(
  'a migration that waits for another one ends on %s with %i, and holds nothing',
  async (signal, code) => {
    await using database = await testDatabase()
    await using db = openDatabase({
      url: database.url,
      max: 2,
      applicationName: 'other',
      log: createLog('test', 'silent'),
    })
    const end = Promise.withResolvers<void>()
    const isLocked = Promise.withResolvers<void>()
    const holding = db.transact(
      async (tx) => {
        await tx`select pg_advisory_xact_lock(7108437065)` // of migrations
        isLocked.resolve()
        await end.promise
      },
      { deadlineMs: 30_000 },
    )
    await isLocked.promise
    const child = Bun.spawn([process.execPath, main, 'migrate'], {
      cwd: tmpdir(),
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'], DATABASE_URL: database.url },
      stdio: ['ignore', 'ignore', 'ignore'],
      timeout: 30_000,
      killSignal: 'SIGKILL',
    })
    const sessions = async (): Promise<number> => {
      const [row] = await db.read(
        (sql) => sql<{ n: number }[]>`
        select count(*)::integer as n from pg_stat_activity
        where datname = current_database() and application_name like 'tasktide%'`,
      )
      return row!.n
    }
    await eventually(async () => expect(await sessions()).toBeGreaterThan(0), { timeoutMs: 15_000 })
    child.kill(signal)
    expect(await child.exited).toBe(code)
    expect(child.signalCode).toBeNull()
    await eventually(async () => expect(await sessions()).toBe(0))
    end.resolve()
    await holding
  },
  40_000,
)
