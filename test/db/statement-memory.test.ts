// What the driver keeps of a prepared statement on each connection, with the patch of this repository: its text once and
// flat, instead of the parts it was concatenated from (163 strings and 6.2 KB of heap for the statement below).
import { expect, test } from 'bun:test'
import { heapStats } from 'bun:jsc'
import { openDatabase } from '../../src/db/client.ts'
import { createLog } from '../../src/log.ts'
import { testDatabase } from '../support/environment.ts'

const connections = 8
const texts = 40
const maxStrings = 20

const stringsOfHeap = (): number => {
  Bun.gc(true)
  return heapStats().objectTypeCounts['string'] ?? 0
}

test('a prepared statement is kept without the parts of its text', async () => {
  await using database = await testDatabase()
  const log = createLog('test', 'silent')
  await using db = openDatabase({ url: database.url, max: connections, applicationName: 'statements', log })
  /** Runs a text of its own, of many fragments as those of lists are, on every connection. */
  const prepare = async (name: string): Promise<void> => {
    const everyConnectionIsTaken = Promise.withResolvers<void>()
    let waiting = connections
    const one = (): Promise<void> =>
      db.transact(async (tx) => {
        waiting -= 1
        if (waiting === 0) everyConnectionIsTaken.resolve()
        await everyConnectionIsTaken.promise
        const conditions = Array.from(
          { length: 12 },
          (_, n) => tx`title <> ${`a${n}`} and description <> ${'b'}`,
        )
        const condition = conditions.reduce((all, next) => tx`${all} and ${next}`)
        await tx`select id, title, version as ${tx(name)} from tasks where ${condition}`
      })
    await Promise.all(Array.from({ length: connections }, one))
  }
  for (let n = 0; n < 3; n += 1) await prepare('v0')
  const before = stringsOfHeap()
  for (let n = 1; n <= texts; n += 1) await prepare(`v${n}`)
  const perStatement = (stringsOfHeap() - before) / (connections * texts)
  console.log(`${perStatement.toFixed(1)} strings for each statement of each connection`)
  expect(perStatement).toBeGreaterThan(1)
  expect(perStatement).toBeLessThan(maxStrings)
}, 60_000)
