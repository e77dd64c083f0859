// A writer process that kills itself with SIGKILL at a named point of a write. Prints acknowledged and uncommitted
// entities, one a line, synchronously, so that the lines are complete before the process ends.
// Arguments: database URL, Redis URL, crash point, seed.
import { writeSync } from 'node:fs'
import { openDatabase } from '../../src/db/client.ts'
import { AppError } from '../../src/errors.ts'
import { append } from '../../src/db/log/append.ts'
import { createPublisher } from '../../src/changelog/publisher.ts'
import { openRedis, type Redis } from '../../src/redis/connection.ts'
import { createLog } from '../../src/log.ts'
import { eventually } from '../support/eventually.ts'
import { randomOf } from './seed.ts'
import { entryOf, scopeOf } from './world.ts'

const [databaseUrl = '', redisUrl = '', point = '', seed = '0'] = process.argv.slice(2)
const random = randomOf(Number(seed))
const log = createLog('crashing-writer', 'silent')
const db = openDatabase({ url: databaseUrl, max: 8, applicationName: 'crashing-writer', log })
const { client } = openRedis(redisUrl, 'request', log)
const print = (line: string): void => void writeSync(1, `${line}\n`)

const writesBefore = 20 + Math.floor(random() * 60)
let writes = 0
let isLastBegun = false
let isCrashing = false

const killSelf = (): never => {
  process.kill(process.pid, 'SIGKILL')
  for (;;); // runs nothing else until the signal arrives
}

let pushesOfLastWrite = 0

/** The client with pushes that crash: `sent` right after the command was sent, `half` before the second of two. */
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it has the client as its prototype
const crashingClient = Object.create(client, {
  evalsha: {
    value: (...args: Parameters<Redis['evalsha']>) => {
      if (isCrashing) pushesOfLastWrite += 1
      if (point === 'half' && pushesOfLastWrite === 2) return client.ping().then(killSelf) // the first push has run by then
      const answer = client.evalsha(...args)
      if (isCrashing && point === 'sent') setImmediate(killSelf)
      return answer
    },
  },
}) as Redis

const publisher = createPublisher({ redis: crashingClient, db, log })

const write = async (isLast: boolean): Promise<void> => {
  const scopes = Array.from({ length: isLast ? 8 : 1 + Math.floor(random() * 3) }, () =>
    Math.floor(random() * 200),
  )
  const entries = scopes.map((n) => entryOf(scopeOf(n)))
  const appended = await db.transact(async (tx) => {
    const appended = await append(tx, entries)
    if (isLast && point === 'uncommitted') {
      for (const { id } of entries) print(`uncommitted ${id}`)
      killSelf()
    }
    return appended
  })
  for (const { id } of entries) print(`acknowledged ${id}`)
  if (isLast && point === 'committed') killSelf()
  if (isLast) isCrashing = true
  publisher.publish(appended)
}

const writer = async (): Promise<void> => {
  for (;;) {
    writes += 1
    const isLast = writes >= writesBefore && !isLastBegun
    isLastBegun ||= isLast
    await write(isLast).catch((error: unknown) => {
      // On a slow machine a write may fail; the next one is the last then.
      if (!(error instanceof AppError) || error.code !== 'unavailable') throw error
      if (isLast) isLastBegun = false
    })
  }
}

await eventually(() => client.ping())
await Promise.all(Array.from({ length: 6 }, writer))
