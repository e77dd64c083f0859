// ShardConsumer: retries, dead letters, and effects that happen once because they commit with the position, not because
// of a lease.
import { afterEach, beforeEach, expect, test } from 'bun:test'
import { selectPosition } from '../../src/db/log/consumers.ts'
import { addressOf } from '../../src/db/address.ts'
import { openDatabase, type Database, type DatabaseOptions, type Tx } from '../../src/db/client.ts'
import { ensureEpoch } from '../../src/db/log/epochs.ts'
import { readHeads, readShard, type Heads } from '../../src/db/log/feed.ts'
import { insertPositions } from '../../src/db/log/consumers.ts'
import { systemWrite, write } from '../../src/domain/write.ts'
import { unavailable } from '../../src/errors.ts'
import { projectScope, shardOf } from '../../src/model/scope.ts'
import { createLog } from '../../src/log.ts'
import type { LogEntry } from '../../src/model/event.ts'
import { newId } from '../../src/model/scalar.ts'
import { newStats, type Consumer, type ConsumerStats } from '../../src/worker/engine/consumer.ts'
import type { LogSource } from '../../src/worker/engine/log-source.ts'
import { PositionStore } from '../../src/worker/engine/position-store.ts'
import { ShardConsumer } from '../../src/worker/engine/shard-consumer.ts'
import { testDatabase, type TestDatabase } from '../support/environment.ts'
import { eventually } from '../support/eventually.ts'
import { tcpProxy } from '../support/tcp-proxy.ts'

const log = createLog('test', 'silent')
const publisher = { publish() {} }
const projectId = newId()
const scope = projectScope(projectId)
const shard = shardOf(scope)

let database: TestDatabase
let db: Database
let positions: PositionStore
let stats: ConsumerStats

/** @param limits other than the usual ones. */
const open = (limits: Pick<DatabaseOptions, 'deadlineMs' | 'statementTimeoutMs'> = {}): Database =>
  openDatabase({ url: database.url, max: 8, applicationName: 'consumers', log, ...limits })

beforeEach(async () => {
  database = await testDatabase()
  db = open()
  positions = new PositionStore(db)
  stats = newStats()
  await db.transact(async (tx) => {
    await tx`create table effects (consumer text, seq bigint)`
    await insertPositions(tx, 'one')
  })
})

afterEach(async () => {
  await db[Symbol.asyncDispose]()
  await database[Symbol.asyncDispose]()
})

/** The log directly from PostgreSQL; its heads are read a hundred times a second, which ends a wait. */
const openSource = (): LogSource & Disposable => {
  let heads: Heads = { epoch: '', seqs: [] }
  const head = (shard: number): number => heads.seqs[shard] ?? 0
  let looked = Promise.withResolvers<void>()
  const look = async (): Promise<void> => {
    heads = await db.read(readHeads).catch(() => heads)
    looked.resolve()
    looked = Promise.withResolvers<void>()
  }
  const timer = setInterval(() => void look(), 10)
  return {
    get epoch() {
      return heads.epoch
    },
    head,
    read: (shard, after, limit) => db.read((sql) => readShard(sql, shard, after, head(shard), limit)),
    wait: () => looked.promise,
    wake: () => looked.resolve(),
    inTurn: (_consumer, _signal, work) => work(),
    [Symbol.dispose]() {
      clearInterval(timer)
      looked.resolve()
    },
  }
}

const append = (count: number, type: 'task.created' | 'task.deleted' = 'task.created') =>
  write({ db, publisher }, systemWrite, async () => ({
    value: null,
    entries: Array.from({ length: count }, () => ({ scope, type, id: newId(), version: 1, actorId: null })),
  }))

/** Inserts the number of each entry, unless `fail` throws. */
const consumer = (fail: (entry: LogEntry) => void = () => {}): Consumer => ({
  name: 'one',
  concerns: ({ type }) => type === 'task.created',
  async handle(tx: Tx, entries) {
    for (const entry of entries) {
      await tx`insert into effects (consumer, seq) values ('one', ${entry.seq})`
      fail(entry)
    }
    return []
  },
})

const effects = (): Promise<number[]> =>
  db.read(async (sql) =>
    (await sql<{ seq: number }[]>`select seq from effects order by seq`).map(({ seq }) => seq),
  )

const position = (): Promise<number> => db.read((sql) => selectPosition(sql, 'one', shard))

/** Runs `count` shard consumers at once until the position is `seq`, over another pool and deadline where given. */
const runTo = async (
  seq: number,
  consumer: Consumer,
  count = 1,
  pool: Database = db,
  retryDeadlineMs?: number,
): Promise<void> => {
  using source = openSource()
  const stop = new AbortController()
  const deps = { db: pool, publisher, source, positions, log }
  const runs = Array.from({ length: count }, () =>
    new ShardConsumer(deps, consumer, shard, stats, retryDeadlineMs).run(stop.signal),
  )
  try {
    await eventually(async () => expect(await position()).toBe(seq), { timeoutMs: 15_000 })
  } finally {
    stop.abort()
    await Promise.all(runs)
  }
}

const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, n) => from + n)

test('every entry of interest has its effect once, and the position is past the others too', async () => {
  await append(150)
  await append(30, 'task.deleted')
  await append(20)
  await runTo(200, consumer())
  expect(await effects()).toEqual([...range(1, 150), ...range(181, 200)])
  expect(stats).toMatchObject({ entries: 200, handled: 170, failures: 0, deadLetters: 0 })
})

test('a new consumer starts at the heads of the moment it is installed and keeps its positions', async () => {
  await append(5)
  await db.transact((tx) => insertPositions(tx, 'later'))
  await append(5)
  await db.transact((tx) => insertPositions(tx, 'later'))
  expect(await db.read((sql) => selectPosition(sql, 'later', shard))).toBe(5)
})

test('five shard consumers on one shard without a lease have every effect once', async () => {
  for (let n = 0; n < 20; n += 1) await append(50)
  await runTo(1000, consumer(), 5)
  expect(await effects()).toEqual(range(1, 1000))
})

test('an entry that keeps failing is tried five times, moved to dead_letter with its error, and delays no other', async () => {
  await append(150)
  let tries = 0
  const poison = 77
  await runTo(
    150,
    consumer(({ seq }) => {
      if (seq !== poison) return
      tries += 1
      throw new Error(`cannot handle \0${'x'.repeat(5_000)}`)
    }),
  )
  expect(await effects()).toEqual(range(1, 150).filter((seq) => seq !== poison))
  const letters = await db.read(
    (sql) => sql<{ consumer: string; seq: number; attempts: number; error: string; entry: LogEntry }[]>`
      select consumer, seq, attempts, error, entry from dead_letter`,
  )
  expect(letters.length).toBe(1)
  expect(letters[0]).toMatchObject({ consumer: 'one', seq: poison, attempts: 5 })
  expect(letters[0]!.error).toStartWith('cannot handle xxx')
  expect(letters[0]!.error.length).toBeLessThanOrEqual(2_000)
  expect(letters[0]!.entry).toMatchObject({ scope, seq: poison, type: 'task.created' })
  expect(tries).toBeGreaterThanOrEqual(5) // and once or more in a batch
  expect(stats.deadLetters).toBe(1)
}, 20_000)

test('an entry whose concern cannot be decided is moved to dead_letter and delays no other', async () => {
  await append(20)
  const poison = 7
  const judge = ({ seq }: LogEntry): true => {
    if (seq === poison) throw new Error('the entry has no data')
    return true
  }
  await runTo(20, { ...consumer(judge), concerns: judge })
  expect(await effects()).toEqual(range(1, 20).filter((seq) => seq !== poison))
  expect(stats.deadLetters).toBe(1)
}, 20_000)

test('an entry that fails four times and then works has its effect once', async () => {
  await append(3)
  let failures = 0
  await runTo(
    3,
    consumer(({ seq }) => {
      if (seq === 2 && (failures += 1) <= 5) throw new Error('not yet') // once in a batch, four times alone
    }),
  )
  expect(await effects()).toEqual([1, 2, 3])
  expect(stats.deadLetters).toBe(0)
}, 20_000)

test('an interruption is retried until it works and never makes a dead letter', async () => {
  await append(3)
  let failures = 0
  await runTo(
    3,
    consumer(() => {
      if ((failures += 1) <= 8) throw unavailable()
    }),
  )
  expect(await effects()).toEqual([1, 2, 3])
  expect(stats).toMatchObject({ deadLetters: 0, failures: 0 })
}, 20_000)

test('entries that are too many for one transaction in time are handled by fewer', async () => {
  await append(120)
  const sizes: number[] = []
  const slow: Consumer = {
    ...consumer(),
    handle(tx, entries) {
      sizes.push(entries.length)
      if (entries.length > 10) throw unavailable() // as a time-out of a statement
      return consumer().handle(tx, entries)
    },
  }
  await runTo(120, slow)
  expect(await effects()).toEqual(range(1, 120))
  expect(sizes.slice(0, 10)).toEqual([100, 50, 25, 12, 6, 7, 8, 9, 11, 5])
  expect(stats).toMatchObject({ deadLetters: 0, failures: 0 })
}, 20_000)

/** Five tries of entry 2 that run out of time, one entry a transaction, and what is left of them. */
const expectOneDeadLetter = async (): Promise<void> => {
  expect(await effects()).toEqual([1, 3])
  const letters = await db.read((sql) => sql`select seq, attempts, error from dead_letter`)
  expect(letters).toMatchObject([
    { seq: 2, attempts: 5, error: expect.stringContaining('took longer than a transaction may') },
  ])
  expect(stats.deadLetters).toBe(1)
}

test('an entry whose statement takes longer than PostgreSQL allows, each time, is moved to dead_letter and delays no other', async () => {
  await append(3)
  await using slow = open({ statementTimeoutMs: 250 })
  const sleeping: Consumer = {
    ...consumer(),
    async handle(tx, entries) {
      if (entries.some(({ seq }) => seq === 2)) await tx`select pg_sleep(60)`
      return consumer().handle(tx, entries)
    },
  }
  await runTo(3, sleeping, 1, slow)
  await expectOneDeadLetter()
}, 20_000)

test('an entry whose statements together take longer than the deadline, each time, is moved to dead_letter and delays no other', async () => {
  await append(3)
  const deadlineMs = 200
  await using slow = open({ deadlineMs })
  const endless: Consumer = {
    ...consumer(),
    maxBatch: 1,
    async handle(tx, entries) {
      for (let n = 0; n < 100 && entries[0]!.seq === 2; n += 1) await tx`select pg_sleep(0.03)`
      return consumer().handle(tx, entries)
    },
  }
  await runTo(3, endless, 1, slow, deadlineMs)
  await expectOneDeadLetter()
}, 20_000)

test('an entry that needs more than the deadline of other calls gets it when it is tried again', async () => {
  await append(2)
  await using slow = open({ deadlineMs: 150 })
  let tries = 0
  await runTo(
    2,
    {
      ...consumer(),
      maxBatch: 1,
      async handle(tx, entries) {
        if (entries[0]!.seq === 2) tries += 1
        for (let n = 0; n < 100 && entries[0]!.seq === 2; n += 1) await tx`select pg_sleep(0.02)`
        return consumer().handle(tx, entries)
      },
    },
    1,
    slow,
    60_000,
  )
  expect(await effects()).toEqual([1, 2])
  expect(tries).toBe(2)
  expect(stats.deadLetters).toBe(0)
}, 20_000)

test('a lock that stays taken is waited for without limit and counts against no entry', async () => {
  await append(3)
  await db.transact(async (tx) => {
    await tx`create table taken (id int)`
    await tx`insert into taken values (1)`
  })
  const locked = Promise.withResolvers<void>()
  const released = new AbortController()
  const holder = db.transact(
    async (tx) => {
      await tx`select from taken for update`
      locked.resolve()
      while (!released.signal.aborted) await tx`select pg_sleep(0.05)`
    },
    { deadlineMs: 60_000 },
  )
  await locked.promise
  let tries = 0
  const waiting: Consumer = {
    ...consumer(),
    maxBatch: 1,
    async handle(tx, entries) {
      if ((tries += 1) === 8) released.abort()
      await tx`set local lock_timeout = '20ms'`
      await tx`select from taken for update`
      return consumer().handle(tx, entries)
    },
  }
  await runTo(3, waiting)
  await holder
  expect(await effects()).toEqual([1, 2, 3])
  expect(stats).toMatchObject({ deadLetters: 0, failures: 0 })
}, 20_000)

test('time-outs while PostgreSQL answers nothing count against no entry', async () => {
  await append(3)
  const { host, port } = addressOf(database.url)
  await using proxy = await tcpProxy({ host, port })
  const url = new URL(database.url)
  url.hostname = '127.0.0.1'
  url.port = String(proxy.port)
  await using away = openDatabase({
    url: url.href,
    max: 8,
    applicationName: 'away',
    log,
    deadlineMs: 300, // before a half-open connection is found
  })
  const outages = 2
  let tries = 0
  const cut: Consumer = {
    ...consumer(),
    maxBatch: 1,
    async handle(tx, entries) {
      if ((tries += 1) <= outages) proxy.blackhole()
      return consumer().handle(tx, entries)
    },
  }
  // The network returns after the next call, which the outage has failed.
  const healing: Database = {
    ...away,
    read: (work, options) => away.read(work, options).finally(() => proxy.heal()),
  }
  await runTo(3, cut, 1, healing, 300)
  expect(await effects()).toEqual([1, 2, 3])
  expect(tries).toBeGreaterThan(outages)
  expect(stats).toMatchObject({ deadLetters: 0, failures: 0 })
}, 30_000)

test('after a failover that lost commits, entries that only the stream still has have no effect', async () => {
  await append(2)
  const { epoch } = await db.read(readHeads)
  const [lost] = await db.read((sql) => readShard(sql, shard, 1, 2, 1))
  const ghosts = [2, 3].map((seq): LogEntry => ({ ...lost!, seq, entityId: newId() }))
  const wakes: (() => void)[] = []
  let followed: LogSource = {
    epoch,
    head: () => 3,
    read: async (_, after) => ghosts.filter(({ seq }) => seq > after),
    wait: () => new Promise((resolve) => wakes.push(resolve)),
    wake: () => wakes.splice(0).forEach((resolve) => resolve()),
    inTurn: (_consumer, _signal, work) => work(),
  }
  const source: LogSource = {
    get epoch() {
      return followed.epoch
    },
    head: (of) => followed.head(of),
    read: (of, after, limit) => followed.read(of, after, limit),
    wait: (of, after) => followed.wait(of, after),
    wake: (of) => followed.wake(of),
    inTurn: (_consumer, _signal, work) => work(),
  }
  const made: (string | null)[] = []
  const recording: Consumer = {
    ...consumer(),
    async handle(tx, entries) {
      made.push(...entries.map(({ entityId }) => entityId))
      return consumer().handle(tx, entries)
    },
  }
  // The standby's log: the second entry is lost, and two others have its number and the next.
  await db.transact(async (tx) => {
    await tx`delete from feed where seq = 2`
    await tx`update feed_head set seq = 1 where shard = ${shard}`
    await tx`update consumer_cursor set seq = 1 where shard = ${shard}`
    await tx`update feed_origin set timeline = timeline + 1`
  })
  await append(2)

  const stop = new AbortController()
  const running = new ShardConsumer({ db, publisher, source, positions, log }, recording, shard, stats).run(
    stop.signal,
  )
  await eventually(() => expect(made.length).toBeGreaterThan(4))
  expect(await effects()).toEqual([])
  await db.transact((tx) => ensureEpoch(tx, epoch))
  await eventually(() => expect(made.length).toBeGreaterThan(8))
  expect(await effects()).toEqual([])
  using real = openSource()
  await eventually(() => expect(real.head(shard)).toBe(3))
  made.length = 0
  followed = real
  await eventually(async () => expect(await position()).toBe(3))
  stop.abort()
  await running
  expect(await effects()).toEqual([2, 3])
  const entries = await db.read((sql) => readShard(sql, shard, 1, 3, 9))
  expect(made.slice(-2)).toEqual(entries.map(({ entityId }) => entityId))
}, 20_000)

test('a new epoch makes an idle shard consumer load its position again', async () => {
  await append(3)
  using real = openSource()
  await eventually(() => expect(real.head(shard)).toBe(3))
  const stop = new AbortController()
  const running = new ShardConsumer(
    { db, publisher, source: real, positions, log },
    consumer(),
    shard,
    stats,
  ).run(stop.signal)
  await eventually(async () => expect(await effects()).toEqual([1, 2, 3]))
  await db.transact(async (tx) => {
    await tx`delete from effects where seq > 1`
    await tx`update consumer_cursor set seq = 1 where shard = ${shard}`
    await ensureEpoch(tx, true)
  })
  await eventually(async () => expect(await effects()).toEqual([1, 2, 3]))
  stop.abort()
  await running
})

test('control: with the position moved in another transaction, racing shard consumers repeat effects', async () => {
  for (let n = 0; n < 10; n += 1) await append(50)
  const careless: Consumer = {
    ...consumer(),
    async handle(_tx, entries) {
      await db.transact((tx) => consumer().handle(tx, entries))
      return []
    },
  }
  await runTo(500, careless, 3)
  expect((await effects()).length).toBeGreaterThan(500)
})
