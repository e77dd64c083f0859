// The daily partitions of the log: created ahead by any process, at any time, during appends.
import { expect, test } from 'bun:test'
import { ensureFeedPartitions } from '../../src/db/log/partitions.ts'
import { commit, entryOf, openWorld, scopeOf } from './world.ts'

test('partitions exist for a week ahead, creating them again changes nothing, and no row is in the default', async () => {
  await using world = await openWorld()
  const partitions = () =>
    world.db.read(async (sql) => {
      const rows = await sql<{ name: string }[]>`
        select inhrelid::regclass::text as name from pg_inherits where inhparent = 'feed'::regclass order by 1`
      return rows.map(({ name }) => name)
    })
  const before = await partitions()
  expect(before).toHaveLength(9)
  await Promise.all([1, 2, 3].map(() => world.db.transact((tx) => ensureFeedPartitions(tx))))
  expect(await partitions()).toEqual(before)
  await Promise.all([1, 2, 3].map(() => world.db.transact((tx) => ensureFeedPartitions(tx, 9))))
  expect(await partitions()).toHaveLength(11)
  const [stray] = await world.db.read((sql) => sql<{ n: number }[]>`select count(*) as n from feed_default`)
  expect(stray!.n).toBe(0)
})

test('a day whose partition is late stays in the default partition and does not prevent later partitions', async () => {
  await using world = await openWorld()
  const [late] = await world.db.read(
    (sql) => sql<{ day: string }[]>`
      insert into feed_default (shard, seq, at, scope, type, version)
      values (0, 1000000, now() + interval '20 days', 'project:late', 'control', 1)
      returning to_char(at at time zone 'UTC', 'YYYYMMDD') as day`,
  )
  await world.db.transact((tx) => ensureFeedPartitions(tx, 22))
  const [found] = await world.db.read(
    (sql) => sql<{ late: string | null; last: string | null }[]>`
      select to_regclass('feed_' || ${late!.day}) as late,
        to_regclass('feed_' || to_char(now() at time zone 'UTC' + interval '22 days', 'YYYYMMDD')) as last`,
  )
  expect(found!.late).toBeNull()
  expect(found!.last).not.toBeNull()
})

test('partitions are created while transactions append', async () => {
  await using world = await openWorld()
  const writing = Promise.all(Array.from({ length: 40 }, (_, n) => commit(world.db, [entryOf(scopeOf(n))])))
  await world.db.transact((tx) => ensureFeedPartitions(tx, 12))
  await writing
})
