// Deliveries as rows: they commit with their cause, and equal ones are one.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Database } from '../../src/db/client.ts'
import { insertDeliveries, type NewDelivery } from '../../src/db/deliveries/deliveries.ts'
import { openTestDatabase, type OpenedDatabase } from '../support/database.ts'

let database: OpenedDatabase
let db: Database

beforeAll(async () => {
  database = await openTestDatabase()
  db = database.db
})

afterAll(() => database[Symbol.asyncDispose]())

const deletion = (dedupeKey: string, more: Pick<NewDelivery, 'delayMs' | 'notBefore'> = {}): NewDelivery => ({
  kind: 'files.delete',
  payload: { keys: [`attachments/${dedupeKey}`] },
  dedupeKey,
  ...more,
})

interface Row {
  kind: string
  payload: unknown
  state: string
  dueInMs: number
}

const rowOf = async (dedupeKey: string): Promise<Row[]> =>
  await db.read(
    (sql) => sql<Row[]>`
      select kind, payload, state, (extract(epoch from next_at - created_at) * 1000)::float8 as "dueInMs"
      from deliveries where dedupe_key = ${dedupeKey}`,
  )

test('A delivery commits with its transaction', async () => {
  const ids = await db.transact((tx) => insertDeliveries(tx, [deletion('a')]))
  expect(ids).toHaveLength(1)
  expect(await rowOf('a')).toEqual([
    { kind: 'files.delete', payload: { keys: ['attachments/a'] }, state: 'waiting', dueInMs: 0 },
  ])
})

test('A transaction that rolls back leaves no delivery', async () => {
  await db
    .transact(async (tx) => {
      await insertDeliveries(tx, [deletion('b')])
      throw new Error('rolled back')
    })
    .catch(() => {})
  expect(await rowOf('b')).toEqual([])
})

test('Equal deliveries are one, also when concurrent transactions insert them', async () => {
  await Promise.all(
    Array.from({ length: 8 }, () =>
      db.transact((tx) => insertDeliveries(tx, [deletion('d'), deletion('c'), deletion('d')])),
    ),
  )
  expect(await rowOf('c')).toHaveLength(1)
  expect(await rowOf('d')).toHaveLength(1)
  expect(await db.transact((tx) => insertDeliveries(tx, [deletion('c'), deletion('e')]))).toHaveLength(1)
})

test('A delivery waits for its instant, or for its delay by the clock of PostgreSQL', async () => {
  const notBefore = '2031-01-01T00:00:00.000Z'
  await db.transact((tx) =>
    insertDeliveries(tx, [deletion('f', { delayMs: 60_000 }), deletion('g', { notBefore })]),
  )
  expect((await rowOf('f'))[0]!.dueInMs).toBe(60_000)
  expect((await rowOf('g'))[0]!.dueInMs).toBeGreaterThan(86_400_000)
})
