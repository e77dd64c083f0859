// What operators see of the files: right figures, read from indexes alone, however many rows there are.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Database } from '../../src/db/client.ts'
import { countStoredFiles } from '../../src/db/files/stored.ts'
import { selectFileState } from '../../src/db/files/sweep.ts'
import { newId } from '../../src/model/scalar.ts'
import { openTestDatabase, planOptions, type OpenedDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'

const attachments = 20_000
const people = 3_000

let database: OpenedDatabase
let db: Database

beforeAll(async () => {
  database = await openTestDatabase(planOptions())
  db = database.db
  const [project, task] = [newId(), newId()]
  await db.transact(async (tx) => {
    // Its snapshot would keep the vacuum below from marking the pages.
    await tx`alter table attachments set (autovacuum_enabled = off)`
    await tx`alter table users set (autovacuum_enabled = off)`
    await tx`
      insert into users (id, email, name, password_hash, avatar_key, avatar_type)
      select gen_random_uuid(), n || '@example.com', 'Person', 'none',
        case when n % 10 = 0 then 'avatars/' || n end, case when n % 10 = 0 then 'image/png' end
      from generate_series(1, ${people}::int) n`
    await tx`insert into projects (id, name) values (${project}, 'Project')`
    await tx`insert into tasks (id, project_id, title, rank) values (${task}, ${project}, 'Files', 'a')`
    await tx`
      insert into attachments
        (id, task_id, state, storage_key, filename, content_type, size, sha256, expires_at, missing_since)
      select gen_random_uuid(), ${task}, case when n % 4 = 0 then 'waiting' else 'ready' end, 'attachments/' || n, 'a.txt',
        'text/plain', n, '', case when n % 4 = 0 then now() end, case when n % 4000 = 1 then now() end
      from generate_series(1, ${attachments}::int) n`
  })
  // A snapshot of another session, such as autovacuum's of another table, keeps a vacuum from marking pages.
  await eventually(
    async () => {
      await db.read((sql) => sql`vacuum analyze attachments, users`)
      const unmarked = await db.read(
        (sql) => sql`
          select relname from pg_class where relname in ('attachments', 'users') and relallvisible < relpages`,
      )
      expect(unmarked.length).toBe(0)
    },
    { timeoutMs: 60_000, everyMs: 200 },
  )
}, 120_000)

afterAll(() => database[Symbol.asyncDispose]())

/** Rows read so far from a table, whole or by way of an index. */
const readFrom = async (table: string): Promise<number> => {
  const [row] = await db.read(async (sql) => {
    await sql`select pg_stat_force_next_flush()`
    return sql<{ rows: number }[]>`
      select (seq_tup_read + coalesce(idx_tup_fetch, 0))::int as rows from pg_stat_user_tables where relname = ${table}`
  })
  return row!.rows
}

test('attachments that are shown, their bytes and avatars are counted without reading an attachment', async () => {
  const before = [await readFrom('attachments'), await readFrom('users')] as const
  const numbers = Array.from({ length: attachments }, (_, index) => index + 1)
  const shown = numbers.filter((n) => n % 4 !== 0)
  expect(await db.read(countStoredFiles)).toEqual({
    attachments: shown.length,
    bytes: shown.reduce((sum, n) => sum + n, 0),
    avatars: people / 10,
  })
  expect(await readFrom('attachments')).toBe(before[0])
  expect((await readFrom('users')) - before[1]).toBeLessThanOrEqual(people / 10)
})

test('attachments without their objects are counted from those alone', async () => {
  const before = await readFrom('attachments')
  expect(await db.read(selectFileState)).toMatchObject({ missing: attachments / 4000 })
  expect(await readFrom('attachments')).toBe(before)
})
