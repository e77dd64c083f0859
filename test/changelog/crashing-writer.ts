// A writer process that kills itself with SIGKILL at a named point of a write. Prints what was acknowledged and
// what must not exist, one line each, before anything else can happen.
// Arguments: database URL, Redis URL, crash point, seed.
import { writeSync } from 'node:fs'
import { openDatabase } from '../../src/db/client.ts'
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
const say = (line: string): void => void writeSync(1, `${line}\n`)

const writesBefore = 20 + Math.floor(random() * 60)
let writes = 0
let isDoomed = false

const die = (): never => {
  process.kill(process.pid, 'SIGKILL')
  for (;;); // until the signal arrives
}

let pushesOfTheLast = 0

/** The client, but for pushes that crash: `sent` right after the command left, `half` before the second of two. */
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it has the client as its prototype
const treacherous = Object.create(client, {
  eval: {
    value: (...args: Parameters<Redis['eval']>) => {
      if (isDoomed) pushesOfTheLast += 1
      if (point === 'half' && pushesOfTheLast === 2) return client.ping().then(die) // the first push has run then
      const answer = client.eval(...args)
      if (isDoomed && point === 'sent') setImmediate(die)
      return answer
    },
  },
}) as Redis

const publisher = createPublisher({ redis: treacherous, db, log })

const write = async (): Promise<void> => {
  writes += 1
  const isLast = writes === writesBefore
  const scopes = Array.from({ length: isLast ? 8 : 1 + Math.floor(random() * 3) }, () =>
    Math.floor(random() * 200),
  )
  const entries = scopes.map((n) => entryOf(scopeOf(n)))
  const appended = await db.transact(async (tx) => {
    const appended = await append(tx, entries)
    if (isLast && point === 'uncommitted') {
      for (const { id } of entries) say(`doomed ${id}`)
      die()
    }
    return appended
  })
  for (const { id } of entries) say(`acknowledged ${id}`)
  if (isLast && point === 'committed') die()
  if (isLast) isDoomed = true
  publisher.publish(appended)
}

const writer = async (): Promise<void> => {
  for (;;) await write()
}

await eventually(() => client.ping())
await Promise.all(Array.from({ length: 6 }, writer))
