// Coalesced reads: what shares a statement, what never does, and what happens to the others when one fails.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { CoalescedRead, type CoalescedReadOptions } from '../../src/db/coalesced-read.ts'
import type { Database } from '../../src/db/client.ts'
import { AppError, unavailable } from '../../src/errors.ts'
import { eventually } from '../support/eventually.ts'
import { openTestDatabase, type OpenedDatabase } from '../support/database.ts'

let database: OpenedDatabase
let db: Database

beforeAll(async () => {
  database = await openTestDatabase()
  db = database.db
})

afterAll(() => database[Symbol.asyncDispose]())

interface Rig {
  reads: CoalescedRead<number, number>
  /** The keys of each statement, in the order in which they were sent. */
  statements: number[][]
  /** Lets statements be answered. */
  open(): void
}

/** Doubles numbers in PostgreSQL, once the gate is open. */
const rig = (options: Partial<CoalescedReadOptions<number, number>> = {}, isOpen = true): Rig => {
  const gate = Promise.withResolvers<void>()
  if (isOpen) gate.resolve()
  const statements: number[][] = []
  const reads = new CoalescedRead<number, number>({
    db,
    async select(sql, keys) {
      statements.push(keys)
      await gate.promise
      const rows = await sql<{ n: number }[]>`
        select n::int * 2 as n from unnest(${keys}::int[]) with ordinality as k (n, place) order by place`
      return rows.map(({ n }) => n)
    },
    ...options,
  })
  return { reads, statements, open: () => gate.resolve() }
}

const get = ({ reads }: Rig, caller: string, ...keys: number[]): Promise<number>[] =>
  keys.map(async (key) => reads.get(caller, String(key), key))

test('calls of one turn share a statement, equal keys of a caller also the row', async () => {
  const one = rig()
  const rows = [...get(one, 'anna', 1, 2, 1), ...get(one, 'bert', 1)]
  expect(await Promise.all(rows)).toEqual([2, 4, 2, 2])
  expect(one.statements).toEqual([[1, 2, 1]])
  expect(one.reads.callers).toBe(0)
})

test('a call never joins a statement that was sent before it, not for an equal key either', async () => {
  const one = rig({}, false)
  const first = get(one, 'anna', 1)
  await eventually(() => expect(one.statements.length).toBe(1))
  const second = get(one, 'anna', 1)
  await eventually(() => expect(one.statements.length).toBe(2))
  const third = get(one, 'anna', 1, 3)
  one.open()
  expect(await Promise.all([...first, ...second, ...third])).toEqual([2, 2, 2, 6])
  expect(one.statements).toEqual([[1], [1], [1, 3]]) // the second began beside the first, which took long
})

test('a flood of one caller takes its share of a statement and delays another by the statements sent before', async () => {
  const one = rig({ besideAfterMs: Infinity }, false)
  const first = get(one, 'flood', 0)
  await eventually(() => expect(one.statements.length).toBe(1))
  const flood = get(one, 'flood', ...Array.from({ length: 300 }, (_, n) => n + 1))
  await eventually(() => expect(one.statements.length).toBe(2))
  expect(one.statements[1]!.length).toBe(64) // alone it may fill a statement
  const others = [...get(one, 'anna', 1_000), ...get(one, 'bert', 1_001)]
  one.open()
  await Promise.all([...first, ...others])
  const theirs = one.statements.findIndex((keys) => keys.includes(1_000))
  expect(theirs).toBe(2)
  expect(one.statements[2]).toContain(1_001)
  expect(one.statements[2]!.length).toBe(16 + 2)
  await Promise.all(flood)
  expect(one.statements.flat().length).toBe(303)
})

test('few waiting keys wait for the statement in flight, so that batches grow with the load', async () => {
  const one = rig({ besideAfterMs: Infinity }, false)
  const first = get(one, 'anna', 0)
  await eventually(() => expect(one.statements.length).toBe(1))
  const rows = [1, 2, 3].flatMap((key) => get(one, `caller ${key}`, key))
  await new Promise(setImmediate)
  expect(one.statements.length).toBe(1)
  one.open()
  await Promise.all([...first, ...rows])
  expect(one.statements).toEqual([[0], [1, 2, 3]])
})

test('callers without an end to their waiting keys take turns', async () => {
  const one = rig({ maxBatch: 4, maxPerCaller: 2, maxInFlight: 1 }, false)
  const first = get(one, 'anna', 0)
  await eventually(() => expect(one.statements.length).toBe(1))
  const rows = ['anna', 'bert', 'cleo'].flatMap((caller, n) =>
    get(one, caller, ...[1, 2, 3, 4].map((k) => n * 10 + k)),
  )
  one.open()
  await Promise.all([...first, ...rows])
  expect(one.statements.slice(1)).toEqual([
    [1, 2, 11, 12],
    [21, 22, 3, 4],
    [13, 14, 23, 24],
  ])
})

test('too many waiting keys of a caller are 429, those of another are served', async () => {
  const one = rig({ maxInFlight: 1 }, false)
  const first = get(one, 'anna', 0)
  await eventually(() => expect(one.statements.length).toBe(1))
  const waiting = get(one, 'anna', ...Array.from({ length: 512 }, (_, n) => n + 1))
  const [refused] = await Promise.allSettled(get(one, 'anna', 9_999))
  expect(refused).toMatchObject({ status: 'rejected', reason: { code: 'rate_limited' } })
  const [bert] = get(one, 'bert', 7)
  one.open()
  expect(await bert).toBe(14)
  await Promise.all([...first, ...waiting])
})

test('one key that cannot be read does not fail the others', async () => {
  const one = rig()
  const numbers = [1, 2_000_000_000, 3] // doubled it is out of range
  const results = await Promise.allSettled(numbers.flatMap((key) => get(one, `caller ${key}`, key)))
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  expect(results.map((result) => (result.status === 'fulfilled' ? result.value : null))).toEqual([2, null, 6])
  expect(one.statements.map((keys) => keys.length)).toEqual([3, 1, 1, 1])
})

test('while PostgreSQL is away all fail, without a statement for each', async () => {
  let statements = 0
  const reads = new CoalescedRead<number, number>({
    db,
    async select() {
      statements += 1
      throw unavailable(new Error('away'))
    },
  })
  const results = await Promise.allSettled([1, 2, 3].map(async (key) => reads.get('anna', String(key), key)))
  for (const result of results) expect(result).toMatchObject({ reason: { code: 'unavailable' } })
  expect(statements).toBe(1)
})

test('each call has its deadline, in flight or waiting, and leaves nothing behind', async () => {
  const one = rig({ maxInFlight: 1, deadlineMs: 300 }, false)
  const first = get(one, 'anna', 1)
  await eventually(() => expect(one.statements.length).toBe(1))
  const results = await Promise.allSettled([...first, ...get(one, 'anna', 2, 3), ...get(one, 'bert', 4)])
  for (const result of results) {
    expect(result.status).toBe('rejected')
    if (result.status !== 'rejected') continue
    expect(result.reason).toBeInstanceOf(AppError)
    expect(result.reason).toMatchObject({ code: 'unavailable', details: { retryAfter: 1 } })
  }
  await eventually(() => expect(one.reads.callers).toBe(0))
  one.open()
  expect(await Promise.all(get(one, 'anna', 5))).toEqual([10])
})
