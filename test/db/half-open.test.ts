// Half-open connections of a pool: they are distinguished from slow statements and closed within a second of the
// network's return, whatever the deadline of a call is.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'
import { addressOf } from '../../src/db/address.ts'
import { openDatabase, type Database } from '../../src/db/client.ts'
import { createLog } from '../../src/log.ts'
import { testDatabase } from '../support/environment.ts'
import { durationOf, eventually, expectWithin } from '../support/eventually.ts'
import { blockEventLoop, stopFor } from '../support/stall.ts'
import { tcpProxy } from '../support/tcp-proxy.ts'

const log = createLog('test', 'silent')
const deadlineMs = 20_000

let world: Awaited<ReturnType<typeof testDatabase>>
let admin: Database

beforeAll(async () => {
  world = await testDatabase({ empty: true })
  admin = openDatabase({ url: world.url, max: 2, applicationName: 'admin', log })
  await admin.read((sql) => sql`create table marks (n bigint)`)
})

afterAll(async () => {
  await admin[Symbol.asyncDispose]()
  await world[Symbol.asyncDispose]()
})

const startProxy = async () => {
  const { host, port } = addressOf(world.url)
  const proxy = await tcpProxy({ host, port })
  const url = new URL(world.url)
  url.hostname = '127.0.0.1'
  url.port = String(proxy.port)
  return { proxy, url: url.href }
}

const backends = (name: string): Promise<{ pid: number }[]> =>
  admin.read(
    (sql) => sql<{ pid: number }[]>`
      select pid from pg_stat_activity where application_name = ${name} order by pid`,
  )

/** No connection was closed or replaced; the backend of a probe, which has the same name, may be about to end. */
const expectSame = (name: string, before: { pid: number }[]): Promise<void> =>
  eventually(async () => expect(await backends(name)).toEqual(before))

const outages = [
  { until: 'before a probe is opened', probes: 0 },
  { until: 'while the first probe waits for its answer', probes: 1 },
  { until: 'after the first probe was given up', probes: 5 }, // one every 500 ms, each for 1.5 s
]

for (const { until, probes } of outages)
  test(`calls work again within 2 s after a network that dropped all packets returns ${until}`, async () => {
    const { proxy, url } = await startProxy()
    await using _proxy = proxy
    await using database = openDatabase({ url, max: 4, applicationName: 'away', log, deadlineMs })
    const ask = (): Promise<unknown> => database.read((sql) => sql`select 1`)
    await Promise.all([ask(), ask(), ask(), ask()])
    await expectWithin(2_000, async () => {
      const { accepted } = proxy
      proxy.blackhole()
      const asked = Array.from({ length: 6 }, ask)
      await eventually(() => expect(proxy.accepted - accepted).toBeGreaterThanOrEqual(probes))
      proxy.heal()
      return durationOf(() => Promise.all(asked))
    })
  }, 30_000)

test('the locks of a transaction with a half-open connection are released', async () => {
  const { proxy, url } = await startProxy()
  await using _proxy = proxy
  await using database = openDatabase({ url, max: 2, applicationName: 'holder', log, deadlineMs })
  await expectWithin(2_000, async () => {
    const swallowed = database.transact(async (tx) => {
      await tx`lock table marks`
      proxy.blackhole()
      await tx`insert into marks values (1)`
    })
    const failed = swallowed.then(
      () => null,
      (error: unknown) => error,
    )
    await eventually(() => expect(proxy.connections).toBeGreaterThan(1)) // a probe was opened
    proxy.heal()
    return durationOf(async () => {
      expect(await failed).toMatchObject({ code: 'unavailable' })
      await eventually(() => admin.transact((tx) => tx`lock table marks nowait`))
    })
  })
  expect(await admin.read((sql) => sql`select n from marks where n = 1`)).toHaveLength(0)
}, 30_000)

test('a slow statement is not interrupted, nor is a statement that waits for it', async () => {
  await using database = openDatabase({ url: world.url, max: 1, applicationName: 'slow', log, deadlineMs })
  await database.read((sql) => sql`select 1`)
  const [before] = await backends('slow')
  await Promise.all([
    database.read((sql) => sql`select pg_sleep(3)`),
    database.transact((tx) => tx`insert into marks values (2)`),
  ])
  expect((await backends('slow')).filter(({ pid }) => pid === before!.pid)).toHaveLength(1)
}, 15_000)

test('a slow statement closes no idle connection', async () => {
  await using database = openDatabase({ url: world.url, max: 3, applicationName: 'idle', log, deadlineMs })
  await Promise.all([1, 2, 3].map(() => database.read((sql) => sql`select pg_sleep(0.01)`)))
  const before = await backends('idle')
  await database.read((sql) => sql`select pg_sleep(2)`)
  await expectSame('idle', before)
}, 15_000)

test('a statement that waits for the lock of another session keeps waiting', async () => {
  await using database = openDatabase({ url: world.url, max: 1, applicationName: 'waiter', log, deadlineMs })
  const { promise: locked, resolve: isLocked } = Promise.withResolvers<void>()
  const holding = admin.transact(async (tx) => {
    await tx`lock table marks`
    isLocked()
    await tx`select pg_sleep(1.7)`
  })
  await locked
  await database.transact((tx) => tx`insert into marks values (3)`) // and does not run twice
  await holding
}, 15_000)

test('a statement that waits for the lock of a slow one of the same pool is not interrupted', async () => {
  await using database = openDatabase({ url: world.url, max: 3, applicationName: 'queue', log, deadlineMs })
  await Promise.all([1, 2, 3].map(() => database.read((sql) => sql`select pg_sleep(0.01)`)))
  const before = await backends('queue')
  const { promise: locked, resolve: isLocked } = Promise.withResolvers<void>()
  const holding = database.transact(async (tx) => {
    await tx`lock table marks`
    isLocked()
    await tx`select pg_sleep(1.7)`
  })
  await locked
  // The third waits for the second, which waits for the first.
  await Promise.all([4, 5].map((n) => database.transact((tx) => tx`insert into marks values (${n})`)))
  await holding
  await expectSame('queue', before)
}, 15_000)

const stallMs = 2_000

test('a stall of this process closes no connection', async () => {
  await using database = openDatabase({ url: world.url, max: 4, applicationName: 'stalled', log, deadlineMs })
  await Promise.all([1, 2, 3, 4].map(() => database.read((sql) => sql`select pg_sleep(0.01)`)))
  const before = await backends('stalled')
  // Two statements are answered during the stall, one runs longer, and one leaves the process only after it: its
  // backend, idle in a transaction until then, needs 300 ms to get a CPU.
  const ready = Promise.withResolvers<void>()
  const late = database.transact(async (tx) => {
    const [row] = await tx<{ pid: number }[]>`select pg_backend_pid() as pid`
    await admin.read((sql) => sql`select pg_sleep(0.6)`) // longer than a probe takes for an answer on its way
    const answer = tx`select 1`.execute()
    const others = [0.001, 1, 2.5].map((seconds) => database.read((sql) => sql`select pg_sleep(${seconds})`))
    process.kill(row!.pid, 'SIGSTOP')
    ready.resolve()
    blockEventLoop(stallMs)
    const backend = stopFor(row!.pid, 300)
    await answer
    await Promise.all([...others, backend])
  })
  await ready.promise
  await late
  await expectSame('stalled', before)
}, 15_000)

test('SIGSTOP of this process closes no connection', async () => {
  const stopper = Bun.spawn([
    'sh',
    '-c',
    `sleep 0.2; kill -STOP ${process.pid}; sleep 2; kill -CONT ${process.pid}`,
  ])
  await using database = openDatabase({
    url: world.url,
    max: 4,
    applicationName: 'stopped',
    log,
    deadlineMs: 1_500,
  })
  await Promise.all([1, 2, 3, 4].map(() => database.read((sql) => sql`select pg_sleep(0.01)`)))
  const before = await backends('stopped')
  const ask = async (): Promise<void> => {
    while (stopper.exitCode === null && stopper.signalCode === null)
      await database.transact(async (tx) => {
        await tx`select pg_sleep(0.02)`
        await tx`select 1`
      })
  }
  await Promise.all(Array.from({ length: 4 }, ask))
  await stopper.exited
  await expectSame('stopped', before)
}, 15_000)

/** Reports other pids than PostgreSQL's to clients, as poolers do. */
const startPooler = async () => {
  const { host, port } = addressOf(world.url)
  const keyData = Buffer.from([0x4b, 0, 0, 0, 12])
  const listener = createServer((client) => {
    const server = connect({ host, port })
    server.on('data', (bytes: Buffer) => {
      const at = bytes.indexOf(keyData)
      if (at >= 0) bytes.writeInt32BE(bytes.readInt32BE(at + 5) + 1_000_000, at + 5)
      client.write(bytes)
    })
    client.on('data', (bytes) => server.write(bytes))
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      one.on('close', () => other.destroy())
      one.on('error', () => other.destroy())
    }
  })
  await once(listener.listen(0, '127.0.0.1'), 'listening')
  const url = new URL(world.url)
  url.hostname = '127.0.0.1'
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it listens on TCP
  url.port = String((listener.address() as AddressInfo).port)
  return { url: url.href, [Symbol.dispose]: () => void listener.close() }
}

test('behind a pooler, whose pids are its own, a slow statement is not interrupted', async () => {
  using pooler = await startPooler()
  await using database = openDatabase({
    url: pooler.url,
    max: 1,
    applicationName: 'pooled',
    log,
    deadlineMs,
  })
  const [row] = await database.read((sql) => sql`select 1 as one, pg_sleep(3)::text as slept`)
  expect(row).toMatchObject({ one: 1 })
}, 15_000)
