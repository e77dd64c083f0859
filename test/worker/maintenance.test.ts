// Retention: rows and partitions past their time are deleted in small steps; what a consumer has not read stays.
import { afterEach, beforeEach, expect, test } from 'bun:test'
import { openDatabase, type Database } from '../../src/db/client.ts'
import { insertPositions } from '../../src/db/log/consumers.ts'
import { createComingPartitions } from '../../src/db/log/partitions.ts'
import { createLog } from '../../src/log.ts'
import { newId } from '../../src/model/scalar.ts'
import { maintain, type MaintenanceStats } from '../../src/worker/loops/maintenance.ts'
import { purges } from '../../src/db/log/retention.ts'
import { testRetention } from './rig.ts'
import { testDatabase, type TestDatabase } from '../support/environment.ts'

const log = createLog('test', 'silent')
let database: TestDatabase
let db: Database

beforeEach(async () => {
  database = await testDatabase()
  db = openDatabase({ url: database.url, max: 4, applicationName: 'maintenance', log })
})

afterEach(async () => {
  await db[Symbol.asyncDispose]()
  await database[Symbol.asyncDispose]()
})

let stats: MaintenanceStats

const run = () => {
  stats = { strayEntries: 0 }
  return maintain({ db, log, config: testRetention, stats, signal: new AbortController().signal })
}

const dayName = async (ago: number): Promise<string> => {
  const [row] = await db.read(
    (sql) => sql<{ name: string }[]>`
      select 'feed_' || to_char((now() at time zone 'UTC')::date - ${ago}::integer, 'YYYYMMDD') as name`,
  )
  return row!.name
}

/** A partition of the log for the day `ago` days back, with one entry of shard 3. */
const addDay = (ago: number, seq: number): Promise<unknown> =>
  db.transact(async (tx) => {
    const name = await dayName(ago)
    await tx`create table ${tx(name)} (like feed including defaults including constraints)`
    await tx`
      select attach_feed_partition(${name}, day, day + 1)
      from (select (now() at time zone 'UTC')::date - ${ago}::integer as day) d`
    await tx`
      insert into feed (shard, seq, at, scope, type, version)
      values (3, ${seq}, now() - make_interval(days => ${ago}), 'user:x', 'control', 1)`
  })

const days = async (): Promise<string[]> => {
  const rows = await db.read(
    (sql) => sql<{ name: string }[]>`
      select relname as name from pg_inherits join pg_class on oid = inhrelid
      where inhparent = 'feed'::regclass and relname ~ '[0-9]{8}' order by relname`,
  )
  return rows.map(({ name }) => name)
}

test('partitions past retention that every consumer has read are dropped, and those ahead exist', async () => {
  await addDay(7, 3)
  await addDay(8, 2)
  await addDay(9, 1)
  await db.transact(async (tx) => {
    await insertPositions(tx, 'one')
    await tx`update consumer_cursor set seq = 2 where shard = 3`
  })
  await run()
  expect(await days()).not.toContain(await dayName(9))
  expect(await days()).not.toContain(await dayName(8))
  expect(await days()).toContain(await dayName(7))
  for (let ahead = 0; ahead <= 7; ahead += 1) expect(await days()).toContain(await dayName(-ahead))
})

test('a partition that a consumer has not read to its end stays, and so do those after it', async () => {
  await addDay(8, 2)
  await addDay(9, 1)
  await db.transact((tx) => insertPositions(tx, 'one')) // at 0
  await run()
  expect(await days()).toContain(await dayName(9))
  await db.transact((tx) => tx`update consumer_cursor set seq = 1 where shard = 3`)
  await run()
  expect(await days()).not.toContain(await dayName(9))
  expect(await days()).toContain(await dayName(8))
})

test('entries without a partition are counted, and deleted past retention once every consumer has read them', async () => {
  await db.transact(async (tx) => {
    await insertPositions(tx, 'one')
    await tx`update consumer_cursor set seq = 6001 where shard = 3`
    await tx`
      insert into feed_default (shard, seq, at, scope, type, version)
      select 3, n, now() - interval '9 days', 'user:x', 'control', 1 from generate_series(1, 6002) as n`
    await tx`
      insert into feed_default (shard, seq, at, scope, type, version)
      values (4, 1, now() - interval '40 days', 'user:y', 'control', 1)`
  })
  await run()
  expect(stats.strayEntries).toBe(2) // 6002 of shard 3 and 1 of shard 4 are not read yet
  await db.transact((tx) => tx`update consumer_cursor set seq = 10000`)
  await run()
  expect(stats.strayEntries).toBe(0)
  await run()
  expect(stats.strayEntries).toBe(0)
})

test('entries without a partition stay while older partitions do, so that the log has no hole', async () => {
  await addDay(9, 1)
  await db.transact(async (tx) => {
    await insertPositions(tx, 'one') // at 0: nothing of shard 3 is read
    await tx`update consumer_cursor set seq = 10 where shard = 4`
    await tx`
      insert into feed_default (shard, seq, at, scope, type, version)
      values (4, 1, now() - interval '8 days', 'user:y', 'control', 1)`
  })
  await run()
  expect(stats.strayEntries).toBe(1)
  await db.transact((tx) => tx`update consumer_cursor set seq = 10`)
  await run()
  expect(stats.strayEntries).toBe(0)
  expect(await days()).not.toContain(await dayName(9))
})

test('a reader that holds the log delays the drop, and other readers do not wait for long', async () => {
  await addDay(9, 1)
  await db.transact(async (tx) => {
    await tx`select count(*) from feed`
    const startedAt = performance.now()
    const busy = run().catch((error: unknown) => error)
    await db.read((sql) => sql`select count(*) from feed`)
    expect(performance.now() - startedAt).toBeLessThan(1_000)
    expect(await busy).toMatchObject({ code: 'unavailable' })
  })
  await run()
  expect(await days()).not.toContain(await dayName(9))
})

test('a reader that holds the log while coming days are missing stops neither a start nor the purges, nor other readers for long', async () => {
  const missing = await dayName(-7)
  await db.transact(async (tx) => {
    await tx`drop table ${tx(missing)}`
    await tx`insert into users (id, email, name, password_hash) values (${newId()}, 'a@example.com', 'A', '')`
    await tx`
      insert into idempotency_keys (user_id, method, path, key, fingerprint, created_at)
      select id, 'POST', '/', 'k', '', now() - interval '25 hours' from users`
  })
  await db.transact(async (tx) => {
    await tx`select count(*) from feed`
    const startedAt = performance.now()
    const creating = createComingPartitions(db)
    await db.read((sql) => sql`select count(*) from feed`)
    expect(performance.now() - startedAt).toBeLessThan(1_000)
    expect(await creating).toBe(false)
    await run()
    expect(await countsOf('idempotency_keys')).toEqual([0])
    expect(await days()).not.toContain(missing)
  })
  await run()
  expect(await days()).toContain(missing)
}, 20_000)

test('any number of idempotency keys is deleted after a day', async () => {
  const userId = newId()
  await db.transact(async (tx) => {
    await tx`insert into users (id, email, name, password_hash) values (${userId}, 'a@example.com', 'A', '')`
    await tx`
      insert into idempotency_keys (user_id, method, path, key, fingerprint, created_at)
      select ${userId}, 'POST', '/', n::text, '', now() - case when n <= 2500 then interval '25 hours' else interval '23 hours' end
      from generate_series(1, 2600) n`
  })
  await run()
  const [row] = await db.read(
    (sql) => sql<{ count: number }[]>`select count(*) as count from idempotency_keys`,
  )
  expect(row!.count).toBe(100)
})

const countsOf = async (...tables: string[]): Promise<number[]> => {
  const counts = []
  for (const table of tables) {
    const [row] = await db.read(
      (sql) => sql<{ count: number }[]>`select count(*) as count from ${sql(table)}`,
    )
    counts.push(row!.count)
  }
  return counts
}

const insertUser = (userId: string) =>
  db.transact(
    (tx) =>
      tx`insert into users (id, email, name, password_hash) values (${userId}, 'a@example.com', 'A', '')`,
  )

test('any number of sessions that ended 30 days ago is deleted with their tokens; live and newer ones stay', async () => {
  const userId = newId()
  await insertUser(userId)
  await db.transact(async (tx) => {
    await tx`
      insert into sessions (id, user_id, expires_at, revoked_at)
      select gen_random_uuid(), ${userId},
        now() - case when n <= 150 then interval '31 days' when n <= 200 then interval '29 days' else interval '-7 days' end,
        case when n > 250 and n <= 400 then now() - interval '31 days'
          when n > 400 and n <= 420 then now() - interval '29 days' end
      from generate_series(1, 450) n`
    await tx`
      insert into refresh_tokens (token_hash, session_id, spent_at, expires_at)
      select decode(md5(id::text || k), 'hex'), id, now(), expires_at from sessions, generate_series(1, 3) k`
    await tx`
      insert into refresh_tokens (token_hash, session_id, expires_at)
      select decode(md5(id::text), 'hex'), id, now() - interval '31 days' from sessions`
  })
  await run()
  expect(await countsOf('sessions', 'refresh_tokens')).toEqual([150, 450])
})

test('personal access tokens that ended 30 days ago are deleted; live and newer ones stay', async () => {
  const userId = newId()
  await insertUser(userId)
  await db.transact(
    (tx) => tx`
      insert into personal_tokens (id, user_id, name, token_hash, scopes, expires_at, revoked_at)
      select gen_random_uuid(), ${userId}, 'CI', decode(md5(n::text), 'hex'), '{read}',
        case when n <= 5 then now() - interval '31 days' when n <= 8 then now() - interval '29 days' end,
        case when n > 10 and n <= 14 then now() - interval '31 days'
          when n > 14 and n <= 16 then now() - interval '29 days' end
      from generate_series(1, 20) n`,
  )
  await run()
  expect(await countsOf('personal_tokens')).toEqual([11])
})

test('read notifications and dead letters are deleted after 90 days; unread and newer ones stay', async () => {
  const userId = newId()
  await insertUser(userId)
  await db.transact(async (tx) => {
    await tx`
      insert into notifications (id, user_id, kind, dedupe_key, created_at, read_at)
      select gen_random_uuid(), ${userId}, 'overdue', n::text, now() - interval '200 days',
        now() - case when n <= 1500 then interval '91 days' when n <= 1600 then interval '89 days' end
      from generate_series(1, 1700) n`
    await tx`
      insert into dead_letter (consumer, shard, seq, error, attempts, entry, failed_at)
      select 'one', 3, n, 'broken', 5, '{}', now() - case when n <= 5 then interval '91 days' else interval '89 days' end
      from generate_series(1, 8) n`
  })
  await run()
  expect(await countsOf('notifications', 'dead_letter')).toEqual([200, 3])
})

test('done deliveries are deleted after 7 days, failed ones after 90; those that have not ended stay', async () => {
  await db.transact(
    (tx) => tx`
      insert into deliveries (id, kind, dedupe_key, payload, state, created_at, ended_at)
      select gen_random_uuid(), 'files.delete', n::text, '{}', state, now() - interval '200 days', now() - age
      from (values
        (1, 'done', interval '8 days'), (2, 'done', interval '6 days'), (3, 'failed', interval '91 days'),
        (4, 'failed', interval '89 days'), (5, 'waiting', null), (6, 'running', null)) as old (n, state, age)`,
  )
  await run()
  const left = await db.read(
    (sql) => sql<{ key: string }[]>`select dedupe_key as key from deliveries order by 1`,
  )
  expect(left.map(({ key }) => key)).toEqual(['2', '4', '5', '6'])
})

test('links of mails that expired 30 days ago and notices of 90 days ago are deleted; newer ones stay', async () => {
  const userId = newId()
  await insertUser(userId)
  await db.transact(async (tx) => {
    await tx`
      insert into account_links (id, kind, email, created_at, expires_at)
      select gen_random_uuid(), 'invitation', 'a@example.com', now() - interval '200 days',
        now() - case when n <= 1500 then interval '31 days' when n <= 1504 then interval '29 days' else interval '-1 day' end
      from generate_series(1, 1510) n`
    await tx`
      insert into mail_notices (id, window_id, user_id, kind, data, created_at)
      select gen_random_uuid(), gen_random_uuid(), ${userId}, 'overdue', '{}',
        now() - case when n <= 1500 then interval '91 days' else interval '89 days' end
      from generate_series(1, 1507) n`
  })
  await run()
  expect(await countsOf('account_links', 'mail_notices')).toEqual([10, 7])
})

/** Rows are planted by statements that no request makes: they take their time on a slow machine. */
const planting = { deadlineMs: 60_000 }

test('every purge finds the oldest by an index, and ids of deleted tasks stay', async () => {
  await db.transact(
    (tx) => tx`insert into task_tombstones (id, deleted_at) values (${newId()}, now() - interval '9 years')`,
  )
  const userId = newId()
  await insertUser(userId)
  await db.transact(async (tx) => {
    await tx`
      insert into sessions (id, user_id, expires_at)
      select gen_random_uuid(), ${userId}, now() + interval '7 days' from generate_series(1, 20000)`
    await tx`
      insert into refresh_tokens (token_hash, session_id, expires_at)
      select decode(md5(id::text), 'hex'), id, expires_at from sessions`
    await tx`
      insert into notifications (id, user_id, kind, dedupe_key, read_at)
      select gen_random_uuid(), ${userId}, 'overdue', n::text, now() from generate_series(1, 20000) n`
    await tx`
      insert into personal_tokens (id, user_id, name, token_hash, scopes, expires_at)
      select gen_random_uuid(), ${userId}, 'CI', decode(md5(n::text), 'hex'), '{read}', now() + interval '7 days'
      from generate_series(1, 20000) n`
    await tx`
      insert into deliveries (id, kind, dedupe_key, payload, state, ended_at)
      select gen_random_uuid(), 'files.delete', n::text, '{}', 'done', now() from generate_series(1, 20000) n`
    await tx`analyze sessions, refresh_tokens, notifications, personal_tokens, deliveries`
  }, planting)
  await db.transact(async (tx) => {
    // The view also counts what earlier transactions of this connection did and have not flushed yet.
    const scans = async (): Promise<number> => {
      const [row] = await tx<{ scans: number }[]>`
        select coalesce(sum(seq_scan), 0)::int as scans from pg_stat_xact_user_tables
        where relname in ('sessions', 'refresh_tokens', 'notifications', 'personal_tokens', 'deliveries')`
      return row!.scans
    }
    const before = await scans()
    const { keys: _keys, deadLetters: _letters, ...filled } = purges
    for (const purge of Object.values(filled)) await purge.deleteOldest(tx, 30)
    expect((await scans()) - before).toBe(0)
  })
  await run()
  expect(await countsOf('task_tombstones')).toEqual([1])
}, 90_000)
