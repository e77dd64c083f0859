// Database calls of callers: a limit of running calls for each, a bounded queue within the deadline, and connections
// reserved for other callers and for the process itself, however many calls one caller makes.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { openDatabase, type Database, type DatabaseOptions } from '../../src/db/client.ts'
import { AppError } from '../../src/errors.ts'
import { createLog } from '../../src/log.ts'
import type { Deps } from '../../src/app/deps.ts'
import { testDatabase } from '../support/environment.ts'
import { eventually } from '../support/eventually.ts'

let world: Awaited<ReturnType<typeof testDatabase>>

beforeAll(async () => {
  world = await testDatabase({ empty: true })
})
afterAll(() => world[Symbol.asyncDispose]())

const open = (options: Partial<DatabaseOptions> = {}): Database =>
  openDatabase({
    url: world.url,
    max: 8,
    applicationName: 'caller-turns',
    log: createLog('test', 'silent'),
    ...options,
  })

/** Calls that hold a transaction open until `end`; `running` counts those that have begun. */
const holding = (database: Database) => {
  const gate = Promise.withResolvers<void>()
  const held = { running: new Map<string, number>(), end: gate.resolve }
  const hold = (caller: string): Promise<void> =>
    database.of(caller).transact(async (tx) => {
      await tx`select 1`
      held.running.set(caller, (held.running.get(caller) ?? 0) + 1)
      await gate.promise
    })
  return Object.assign(held, { hold })
}

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'done',
    (error: unknown) => (error instanceof AppError ? error.code : String(error)),
  )

test('a caller has at most half of the pool in flight, and another caller is served', async () => {
  await using database = open()
  const { hold, running, end } = holding(database)
  const flood = Array.from({ length: 30 }, () => hold('anna'))
  await eventually(() => expect(running.get('anna')).toBe(4))
  expect(database.calls.waitingOf('anna')).toBe(26)
  expect(await database.of('bert').read((sql) => sql`select 1 as n`)).toHaveLength(1)
  expect(await database.read((sql) => sql`select 1 as n`)).toHaveLength(1)
  expect(running.get('anna')).toBe(4)
  end()
  await Promise.all(flood)
  expect(running.get('anna')).toBe(30)
  expect([database.calls.running, database.calls.size]).toEqual([0, 0])
})

test('callers with full queues leave a turn to a later caller, and connections to the process', async () => {
  await using database = open({ callsPerCaller: 2 })
  const { hold, running, end } = holding(database)
  const floods = ['a', 'b', 'c'].flatMap((caller) => Array.from({ length: 10 }, () => hold(caller)))
  await eventually(() => expect([...running.values()]).toEqual([2, 2, 2]))
  expect(await database.read((sql) => sql`select 1 as n`)).toHaveLength(1)
  const order: string[] = []
  const late = database.of('late').read(async (sql) => {
    order.push('late')
    return sql`select 1`
  })
  const others = ['a', 'b', 'c'].map((caller) => hold(caller).then(() => order.push(caller)))
  end()
  await Promise.all([late, ...floods, ...others])
  expect(order[0]).toBe('late')
})

test('waiting for a turn counts towards the deadline, and a call past its deadline does not run', async () => {
  await using database = open({ callsPerCaller: 1 })
  const { hold, running, end } = holding(database)
  const first = hold('anna')
  await eventually(() => expect(running.get('anna')).toBe(1))
  let ran = false
  const late = database.of('anna').read(
    async (sql) => {
      ran = true
      return sql`select 1`
    },
    { deadlineMs: 20 },
  )
  expect(await codeOf(late)).toBe('unavailable')
  expect(database.calls.waitingOf('anna')).toBe(0)
  end()
  await first
  await database.of('anna').read((sql) => sql`select 1`)
  expect(ran).toBe(false)
})

test('512 calls wait, the next is refused with 429', async () => {
  await using database = open()
  const { hold, running, end } = holding(database)
  const calls = Array.from({ length: 4 + 512 }, () => hold('anna'))
  await eventually(() => expect(running.get('anna')).toBe(4))
  const refused = database.of('anna').read((sql) => sql`select 1`)
  expect(await codeOf(refused)).toBe('rate_limited')
  expect(await codeOf(database.of('bert').read((sql) => sql`select 1`))).toBe('done')
  end()
  await Promise.all(calls)
}, 15_000)

test('a call that is answered at its deadline keeps its turn until its statement has ended', async () => {
  await using database = open({ callsPerCaller: 1 })
  const gate = Promise.withResolvers<void>()
  const slow = database.of('anna').transact(
    async (tx) => {
      await tx`select 1`
      await gate.promise
    },
    { deadlineMs: 50 },
  )
  expect(await codeOf(slow)).toBe('unavailable')
  expect(database.calls.running).toBe(1)
  expect(await codeOf(database.of('anna').read((sql) => sql`select 1`, { deadlineMs: 20 }))).toBe(
    'unavailable',
  )
  gate.resolve()
  await eventually(() => expect(database.calls.running).toBe(0))
  expect(await codeOf(database.of('anna').read((sql) => sql`select 1`))).toBe('done')
})

test('request handlers cannot call the database without naming the caller', async () => {
  await using database = open()
  const deps: Pick<Deps, 'db'> = { db: database }
  // @ts-expect-error -- a call without a caller
  const call = deps.db.read
  expect(call).toBeFunction()
})
