// Prepares statements on every connection of a pool and prints how many strings the heap has more for each, in a process
// of its own: bun statement-memory-child.ts <database URL>.
import { heapStats } from 'bun:jsc'
import { openDatabase } from '../../src/db/client.ts'
import { createLog } from '../../src/log.ts'

const connections = 8
const statements = 40

const stringsOfHeap = (): number => {
  Bun.gc(true)
  return heapStats().objectTypeCounts['string'] ?? 0
}

const log = createLog('test', 'silent')
await using db = openDatabase({ url: process.argv[2]!, max: connections, applicationName: 'statements', log })

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
for (let n = 1; n <= statements; n += 1) await prepare(`v${n}`)
console.log((stringsOfHeap() - before) / (connections * statements))
