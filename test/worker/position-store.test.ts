// Positions that are stored together: one transaction, and a move that another worker was faster with fails alone.
import { afterEach, beforeEach, expect, test } from 'bun:test'
import { openDatabase, type Database } from '../../src/db/client.ts'
import { insertPositions, PositionMoved, selectPosition } from '../../src/db/log/consumers.ts'
import { readHeads } from '../../src/db/log/feed.ts'
import { createLog } from '../../src/log.ts'
import { shardCount } from '../../src/model/scope.ts'
import { PositionStore } from '../../src/worker/engine/position-store.ts'
import { testDatabase, type TestDatabase } from '../support/environment.ts'

let database: TestDatabase
let db: Database
let epoch: string

beforeEach(async () => {
  database = await testDatabase()
  db = openDatabase({
    url: database.url,
    max: 4,
    applicationName: 'positions',
    log: createLog('test', 'silent'),
  })
  for (const name of ['one', 'two']) await db.transact((tx) => insertPositions(tx, name))
  epoch = (await db.read(readHeads)).epoch
})

afterEach(async () => {
  await db[Symbol.asyncDispose]()
  await database[Symbol.asyncDispose]()
})

const all = ['one', 'two'].flatMap((consumer) =>
  Array.from({ length: shardCount }, (_, shard) => ({ consumer, shard })),
)

const positions = (): Promise<number[]> =>
  Promise.all(all.map(({ consumer, shard }) => db.read((sql) => selectPosition(sql, consumer, shard))))

test('the moves of all consumers are one transaction', async () => {
  const before = await positions()
  const store = new PositionStore(db)
  await Promise.all(
    all.map((one, index) => store.move({ ...one, epoch, from: before[index]!, to: before[index]! + 7 })),
  )
  expect(store.transactions).toBe(1)
  expect(await positions()).toEqual(before.map((seq) => seq + 7))
})

test('a move from another number and one of another epoch fail, the others commit', async () => {
  const before = await positions()
  const store = new PositionStore(db)
  const outcomes = await Promise.allSettled(
    all.map((one, index) =>
      store.move({
        ...one,
        epoch: index === 3 ? 'another' : epoch,
        from: before[index]! + (index === 5 ? 1 : 0),
        to: before[index]! + 7,
      }),
    ),
  )
  const failed = outcomes.flatMap((outcome, index) => (outcome.status === 'rejected' ? [index] : []))
  expect(failed).toEqual([3, 5])
  for (const outcome of outcomes)
    if (outcome.status === 'rejected') expect(outcome.reason).toBeInstanceOf(PositionMoved)
  expect(await positions()).toEqual(before.map((seq, index) => seq + (failed.includes(index) ? 0 : 7)))
})
