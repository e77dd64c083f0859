// PostgreSQL backends are terminated under load. Whatever happens to a connection, the process survives, no call hangs,
// a transaction is stored completely or not at all, and every acknowledged transaction is stored.
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import postgres from 'postgres'
import { openDatabase, type Database } from '../../src/db/client.ts'
import { AppError, messageOf } from '../../src/errors.ts'
import { createLog } from '../../src/log.ts'
import { testDatabase } from '../support/environment.ts'
import { eventually } from '../support/eventually.ts'

const log = createLog('test', 'silent')
const connections = 20
const rounds = 40
/** A call that takes longer hangs, also on a slow machine. */
const deadlineMs = 20_000

let world: Awaited<ReturnType<typeof testDatabase>>
let admin: Database

beforeAll(async () => {
  world = await testDatabase({ empty: true })
  admin = openDatabase({ url: world.url, max: 2, applicationName: 'admin', log })
  await admin.read((sql) => sql`create table pairs (id uuid, half smallint, primary key (id, half))`)
})

beforeEach(async () => {
  await admin.read((sql) => sql`truncate pairs`)
})

afterAll(async () => {
  await admin[Symbol.asyncDispose]()
  await world[Symbol.asyncDispose]()
})

const terminateAll = (applicationName: string): Promise<number> =>
  admin.read(async (sql) => {
    const killed = await sql`
      select pg_terminate_backend(pid) from pg_stat_activity
      where application_name = ${applicationName} and datname = current_database()`
    return killed.length
  })

const halves = (): Promise<Map<string, number>> =>
  admin.read(async (sql) => {
    const rows = await sql<{ id: string; n: number }[]>`select id, count(*) as n from pairs group by id`
    return new Map(rows.map(({ id, n }) => [id, n]))
  })

test('terminated backends cause errors, but no crash, no hung call, no partial transaction and no loss of an acknowledged one', async () => {
  const acknowledged = new Set<string>()
  const unexpected: string[] = []
  let reads = 0
  let refused = 0
  let expired = 0
  const stop = new AbortController()
  {
    const options = { url: world.url, log, deadlineMs }
    await using elsewhere = openDatabase({ ...options, max: 10, applicationName: 'elsewhere' })
    await using database = openDatabase({ ...options, max: connections, applicationName: 'load' })

    const note = (error: unknown): void => {
      const isUnavailable = error instanceof AppError && error.code === 'unavailable'
      if (!isUnavailable) unexpected.push(messageOf(error))
      else if (messageOf(error.cause).startsWith('no answer')) expired += 1
      else refused += 1
    }
    const write = async (): Promise<void> => {
      const id = crypto.randomUUID()
      try {
        await database.transact(async (tx) => {
          await tx`insert into pairs (id, half) values (${id}, 1)`
          // The connection idles in its transaction while another one works.
          if (Math.random() < 0.5)
            await elsewhere.read((sql) => sql`select pg_sleep(${Math.random() * 0.005})`)
          await Promise.all([tx`select pg_sleep(0.001)`, tx`insert into pairs (id, half) values (${id}, 2)`])
        })
        acknowledged.add(id)
      } catch (error) {
        note(error)
      }
    }
    const read = async (): Promise<void> => {
      try {
        await database.read((sql) => sql`select count(*) from pairs where half = ${1}`)
        reads += 1
      } catch (error) {
        note(error)
      }
    }
    const loop = async (act: () => Promise<void>): Promise<void> => {
      while (!stop.signal.aborted) await act()
    }
    const load = [
      ...Array.from({ length: 30 }, () => loop(write)),
      ...Array.from({ length: 5 }, () => loop(read)),
    ]
    let killed = 0
    try {
      for (let round = 0; round < rounds; round += 1) {
        const next = acknowledged.size + reads + Math.random() * 100
        await eventually(() => expect(acknowledged.size + reads).toBeGreaterThan(next), { everyMs: 1 })
        killed += await terminateAll('load')
      }
    } finally {
      stop.abort()
      await Promise.all(load)
    }
    expect(killed).toBeGreaterThan(rounds)
  }
  const stored = await halves()
  console.log({ acknowledged: acknowledged.size, stored: stored.size, refused, expired, reads })
  expect(unexpected).toEqual([])
  expect(expired).toBe(0)
  expect(acknowledged.size).toBeGreaterThan(10)
  expect(refused).toBeGreaterThan(0)
  expect([...stored].filter(([, n]) => n !== 2)).toEqual([])
  expect([...acknowledged].filter((id) => !stored.has(id))).toEqual([])
}, 120_000)

const rejection = (work: PromiseLike<unknown>): Promise<unknown> =>
  Promise.resolve(work).then(
    () => 'it succeeded',
    (error: unknown) => (error instanceof Error && 'code' in error ? error.code : error),
  )

test('a reserved connection that is lost or released refuses statements, and the next one works', async () => {
  const sql = postgres(world.url, { max: 1, backoff: () => 0.01 })
  const reserved = await sql.reserve()
  const [row] = await reserved<{ pid: number }[]>`select pg_backend_pid() as pid`
  await admin.read((sql) => sql`select pg_terminate_backend(${row!.pid}, 2000)`)
  const atOnce = rejection(reserved`select 1`)
  expect<unknown[]>(['CONNECTION_CLOSED', 'ECONNRESET', '57P01']).toContain(await atOnce)
  expect(await sql`select 1 as one`).toHaveLength(1) // the pool has the connection again
  expect(await rejection(reserved`select 1`)).toBe('CONNECTION_CLOSED')
  const next = await sql.reserve()
  await next`select 1`
  next.release()
  expect(await rejection(next`select 1`)).toBe('RESERVATION_RELEASED')
  await sql.end({ timeout: 1 })
})

test('a failed reservation leaks no connection, and a reservation works without fetched types', async () => {
  const refused = postgres('postgres://postgres@127.0.0.1:1/none', { max: 1, backoff: () => 0.01 })
  expect(await Promise.all([rejection(refused.reserve()), rejection(refused.reserve())])).toEqual([
    'ECONNREFUSED',
    'ECONNREFUSED',
  ])
  await refused.end({ timeout: 1 })
  const sql = postgres(world.url, { max: 1, fetch_types: false })
  const reserved = await sql.reserve()
  expect(await reserved`select 1`).toHaveLength(1)
  reserved.release()
  await sql.end({ timeout: 1 })
})

interface Outcome {
  uncaught: number
  hung: number
  half: number
  missing: number
  acknowledged: number
}

/** Runs the same load on the bare driver in a process of its own, which a broken driver may take down. */
const loadDriver = async (driver: string, applicationName: string): Promise<Outcome> => {
  const child = Bun.spawn(
    ['bun', join(import.meta.dir, 'driver-load.ts'), driver, world.url, applicationName],
    {
      stdout: 'pipe',
      stderr: 'inherit',
    },
  )
  const ended = new AbortController()
  const exited = child.exited.then(() => ended.abort())
  // A few transactions commit between two terminations, also on a slow machine.
  const terminating = (async () => {
    while (!ended.signal.aborted) {
      const next = (await halves()).size + 3
      const mayTerminate = async (): Promise<void> => {
        if (!ended.signal.aborted) expect((await halves()).size).toBeGreaterThanOrEqual(next)
      }
      await eventually(mayTerminate, { timeoutMs: 50_000, everyMs: 20 })
      await terminateAll(applicationName)
    }
  })()
  const [text] = await Promise.all([new Response(child.stdout).text(), exited, terminating])
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the child is ours
  return JSON.parse(text) as Outcome
}

const installed = join(import.meta.dir, '../../node_modules/postgres')

test('the patched driver itself does not crash, hang or commit partial transactions', async () => {
  // A slow machine commits little in the two seconds of a run, and then runs the load again.
  let acknowledged = 0
  for (let runs = 0; runs < 5 && acknowledged <= 10; runs += 1) {
    const outcome = await loadDriver(join(installed, 'src/index.js'), 'patched')
    console.log(outcome)
    const { acknowledged: committed, ...faults } = outcome
    expect(faults).toEqual({ uncaught: 0, hung: 0, half: 0, missing: 0 })
    acknowledged += committed
  }
  expect(acknowledged).toBeGreaterThan(10)
}, 60_000)

test('the published driver fails the same load: the negative control of the patch', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'postgres-'))
  try {
    await cp(installed, folder, { recursive: true, dereference: true })
    const patch = join(import.meta.dir, '../../patches/postgres@3.4.9.patch')
    const undo = Bun.spawn(['git', 'apply', '--reverse', patch], { cwd: folder, stderr: 'inherit' })
    expect(await undo.exited).toBe(0)
    const faults = await loadDriver(join(folder, 'src/index.js'), 'published')
    console.log(faults)
    expect(faults.uncaught + faults.hung + faults.half).toBeGreaterThan(0)
  } finally {
    await rm(folder, { recursive: true })
  }
}, 60_000)
