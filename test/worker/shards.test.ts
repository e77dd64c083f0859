// Shards: fair shares, one worker each, and transfer to the others when a worker is killed, stopped or disconnected.
import { afterEach, beforeEach, expect, test } from 'bun:test'
import { openDatabase, type Database } from '../../src/db/client.ts'
import { openLeases } from '../../src/db/leases.ts'
import { createLog } from '../../src/log.ts'
import { shardCount } from '../../src/model/scope.ts'
import { fairShare, Shards } from '../../src/worker/engine/shards.ts'
import { testDatabase, sharedRedisUrl, type TestDatabase } from '../support/environment.ts'
import { durationOf, eventually, expectWithin } from '../support/eventually.ts'
import { tcpProxy } from '../support/tcp-proxy.ts'
import { addressOf } from '../../src/db/address.ts'
import { readyPort, spawnWorker } from './rig.ts'

const log = createLog('test', 'silent')
const all = Array.from({ length: shardCount }, (_, shard) => shard)

let database: TestDatabase
let admin: Database
/** The worker of each shard that has a run now, of all workers of the test. */
let working: Map<number, string>
let overlaps: string[]
/** Surveys of each worker, by name. */
let surveys: Map<string, number>

beforeEach(async () => {
  database = await testDatabase()
  admin = openDatabase({ url: database.url, max: 2, applicationName: 'admin', log })
  working = new Map()
  overlaps = []
  surveys = new Map()
})

afterEach(async () => {
  await admin[Symbol.asyncDispose]()
  await database[Symbol.asyncDispose]()
})

/** Takes a while, as the end of a run does. */
const ping = (): Promise<unknown> => admin.read((sql) => sql`select 1`)

/** @param ending what a run still does after it was stopped. */
const enter = (name: string, url = database.url, ending: () => Promise<unknown> = ping): Shards =>
  new Shards({
    open: async () => {
      const leases = await openLeases({ url, applicationName: `leases ${name}` })
      const survey = () => {
        surveys.set(name, (surveys.get(name) ?? 0) + 1)
        return leases.survey()
      }
      return { ...leases, survey }
    },
    log,
    run: async (shard, signal) => {
      const other = working.get(shard)
      if (other !== undefined) overlaps.push(`${shard}: ${other} and ${name}`)
      working.set(shard, name)
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      await ending()
      working.delete(shard)
    },
  })

const holds = (...wanted: [Shards, number][]): Promise<void> =>
  eventually(() => {
    for (const [shards, count] of wanted) expect(shards.held.length).toBe(count)
    expect(working.size).toBe(wanted.reduce((sum, [, count]) => sum + count, 0))
  })

test('fair shares differ by one at most and add up', () => {
  for (let workers = 1; workers <= 20; workers += 1) {
    const shares = Array.from({ length: workers }, (_, place) => fairShare(workers, place))
    expect(shares.reduce((sum, share) => sum + share)).toBe(shardCount)
    expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1)
  }
})

test('one worker holds every shard, two halves, and one again when the other leaves; none is held twice', async () => {
  await using one = enter('one')
  await holds([one, 16])
  {
    await using two = enter('two')
    await holds([one, 8], [two, 8])
    expect([...one.held, ...two.held].sort((a, b) => a - b)).toEqual(all)
    await using three = enter('three')
    await eventually(() => {
      expect([one.held.length, two.held.length, three.held.length].sort((a, b) => a - b)).toEqual([5, 5, 6])
      expect(working.size).toBe(16)
    })
  }
  await holds([one, 16])
  expect(overlaps).toEqual([])
}, 20_000)

test('a shard passes on only after its run has ended', async () => {
  const ended = Promise.withResolvers<void>()
  await using one = enter('one', database.url, () => ended.promise)
  await holds([one, 16])
  await using two = enter('two')
  try {
    await eventually(() => {
      expect(one.held.length).toBe(8) // the other eight are stopping
      expect(surveys.get('two')).toBeGreaterThan(3) // each followed by an attempt to acquire
    })
    expect(two.held).toEqual([])
  } finally {
    ended.resolve()
  }
  await holds([one, 8], [two, 8])
  expect(overlaps).toEqual([])
})

test('a worker whose session ends stops at once and comes back', async () => {
  await using one = enter('one')
  await holds([one, 16])
  await admin.read(
    (sql) =>
      sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'leases one'`,
  )
  await eventually(() => expect(one.held).toEqual([]))
  await holds([one, 16])
  expect(overlaps).toEqual([])
})

test('the shards of a worker behind a dead network go to the others within 5 s', async () => {
  const { host, port } = addressOf(database.url)
  await using proxy = await tcpProxy(
    host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host, port },
  )
  const url = new URL(database.url)
  url.searchParams.delete('host')
  url.host = `127.0.0.1:${proxy.port}`
  await using cut = enter('cut', url.href)
  await using other = enter('other')
  await holds([cut, 8], [other, 8])
  await expectWithin(5_000, async () => {
    proxy.blackhole()
    const tookMs = await durationOf(() =>
      eventually(() => expect(other.held.length).toBe(16), { timeoutMs: 10_000 }),
    )
    expect(cut.held).toEqual([])
    expect(overlaps).toEqual([])
    proxy.heal()
    await holds([cut, 8], [other, 8])
    return tookMs
  })
}, 60_000)

for (const signal of ['SIGKILL', 'SIGSTOP'] as const) {
  test(
    `the shards of a worker that got ${signal} go to the others within 5 s`,
    () =>
      expectWithin(5_000, async () => {
        const settings = { databaseUrl: database.url, redisUrl: sharedRedisUrl(), overdueIntervalMs: 60_000 }
        const child = spawnWorker(settings)
        try {
          await using one = enter('one')
          const port = await readyPort(child)
          const held = async (): Promise<number[]> =>
            (await (await fetch(`http://127.0.0.1:${port}/readyz`)).json()).shards
          await eventually(async () => {
            expect(one.held.length).toBe(8)
            expect((await held()).length).toBe(8)
          })
          child.kill(signal)
          const tookMs = await durationOf(() =>
            eventually(() => expect(one.held.length).toBe(16), { timeoutMs: 10_000 }),
          )
          console.log({ signal, tookMs })
          if (signal === 'SIGKILL') return tookMs
          child.kill('SIGCONT')
          await eventually(async () => {
            expect(one.held.length).toBe(8)
            expect((await held()).length).toBe(8)
          })
          return tookMs
        } finally {
          child.kill('SIGKILL')
          await child.exited
        }
      }),
    60_000,
  )
}
