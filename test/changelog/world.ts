// A migrated database and a Redis of its own for one test file, and operations of tests on them.
import { openDatabase, type Database } from '../../src/db/client.ts'
import { append, type Appended } from '../../src/db/log/append.ts'
import type { Redis as RedisServer } from '../../dev/redis.ts'
import { openRedis, type Redis, type RedisConnection } from '../../src/redis/connection.ts'
import { createLog } from '../../src/log.ts'
import { projectScope, type Scope } from '../../src/model/scope.ts'
import type { Entry } from '../../src/model/event.ts'
import { eventually } from '../support/eventually.ts'
import { testDatabase, testRedis } from '../support/environment.ts'

export const log = createLog('test', process.env['LOG_LEVEL'] ?? 'silent')

export interface World extends AsyncDisposable {
  databaseUrl: string
  server: RedisServer
  /** For writers. */
  db: Database
  /** For the tail and the sweeper. */
  tailDb: Database
  redis: Redis
  connect: () => RedisConnection
}

export const openWorld = async (): Promise<World> => {
  const database = await testDatabase()
  const server = await testRedis()
  const db = openDatabase({ url: database.url, max: 12, applicationName: 'writer', log })
  const tailDb = openDatabase({ url: database.url, max: 2, applicationName: 'tail', log })
  const connection = openRedis(server.url, 'request', log)
  await eventually(() => connection.client.ping())
  return {
    databaseUrl: database.url,
    server,
    db,
    tailDb,
    redis: connection.client,
    connect: () => openRedis(server.url, 'blocking', log),
    async [Symbol.asyncDispose]() {
      await connection[Symbol.asyncDispose]()
      await Promise.all([db[Symbol.asyncDispose](), tailDb[Symbol.asyncDispose]()])
      await server[Symbol.asyncDispose]()
      await database[Symbol.asyncDispose]()
    },
  }
}

/** Project `n`; a hundred of them fall into every shard. */
export const scopeOf = (n: number): Scope =>
  projectScope(`00000000-0000-7000-8000-${String(n).padStart(12, '0')}`)

export const entryOf = (scope: Scope, version = 1, data: object = { title: 'Tide' }): Entry => ({
  scope,
  type: 'task.updated',
  id: Bun.randomUUIDv7(),
  version,
  data,
  actorId: null,
})

/** Appends in its own transaction. */
export const commit = (db: Database, entries: Entry[]): Promise<Appended> =>
  db.transact((tx) => append(tx, entries))

/** One transaction an entry, concurrently: the order of their numbers is not defined. */
export const commitMany = async (db: Database, scope: Scope, count: number): Promise<Appended[]> =>
  Promise.all(Array.from({ length: count }, () => commit(db, [entryOf(scope)])))

/** All entries of the log by shard and number. */
export const readWholeLog = (
  db: Database,
): Promise<{ shard: number; seq: number; entityId: string | null }[]> =>
  db.read(
    (sql) => sql<{ shard: number; seq: number; entityId: string | null }[]>`
      select shard, seq, entity_id as "entityId" from feed order by shard, seq`,
  )
