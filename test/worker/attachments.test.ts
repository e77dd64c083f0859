// Objects whose rows are gone are deleted, and nothing else is; a sweep finds what no other way has found.
import { afterEach, beforeEach, expect, test } from 'bun:test'
import { mkdtemp, rm, utimes } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Database } from '../../src/db/client.ts'
import { queueFileDeletions, requeueFileDeletions } from '../../src/db/files/deletion-queue.ts'
import { selectFileState } from '../../src/db/files/sweep.ts'
import { sweepFiles } from '../../src/domain/files/sweep.ts'
import { createLog } from '../../src/log.ts'
import { newId } from '../../src/model/scalar.ts'
import { diskStorage } from '../../src/storage/disk.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { eventually } from '../support/eventually.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { scheduleSweep } from '../../src/worker/loops/files.ts'
import { openWorker } from './rig.ts'

const log = createLog('test', 'silent')
let world: World
let db: Database
let owner: Person
let dataDir: string
let storage: Storage

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'tide-files-'))
  world = await startWorld({ dataDir })
  db = world.server.deps.db
  owner = await world.register()
  storage = diskStorage(join(dataDir, 'files'))
}, 30_000)

afterEach(async () => {
  await world[Symbol.asyncDispose]()
  await rm(dataDir, { recursive: true, force: true })
})

/** Attachments of a task, with their objects. @returns the keys. */
const attach = async (
  taskId: string,
  count: number,
  { daysOld = 0, withObjects = true, withRows = true } = {},
): Promise<string[]> => {
  const files = Array.from({ length: count }, () => ({ id: newId(), key: `attachments/2026-11/${newId()}` }))
  for (const { key } of withObjects ? files : []) {
    await storage.put(key, new TextEncoder().encode('text'))
    const at = new Date(Date.now() - daysOld * 86_400_000 - 60_000)
    await utimes(join(dataDir, 'files', key), at, at)
  }
  if (withRows)
    await db.transact(
      (tx) => tx`
        insert into attachments (id, task_id, uploader_id, state, storage_key, filename, content_type, size, sha256, created_at)
        select (file->>'id')::uuid, ${taskId}, ${owner.id}, 'ready', file->>'key', 'a.txt', 'text/plain', 4, '',
          now() - make_interval(days => ${daysOld}, mins => 1)
        from json_array_elements(${JSON.stringify(files)}::text::json) as file`,
    )
  return files.map(({ key }) => key).toSorted()
}

const objects = async (): Promise<string[]> =>
  (await Array.fromAsync(storage.list('attachments/'))).map(({ key }) => key).toSorted()

const deletions = async (): Promise<number> => (await db.read(selectFileState)).deletions

const newTask = (projectId: string): Promise<{ id: string }> =>
  world.ask(owner, 'POST', '/api/tasks', { projectId, title: 'With files' })

const sweep = (options: { isDryRun?: boolean; isForced?: boolean } = {}) =>
  sweepFiles({ db, storage, log }, { isDryRun: false, ...options, signal: new AbortController().signal })

const workerSettings = () => ({ ...world, overdueIntervalMs: 60_000, dataDir })

test('the files of a deleted project go within seconds of it, the others stay', async () => {
  await using _worker = await openWorker(workerSettings())
  const [project, other] = [await world.project(owner), await world.project(owner)]
  for (const { id } of [await newTask(project.id), await newTask(project.id)]) await attach(id, 130)
  const kept = await attach((await newTask(other.id)).id, 3)
  await world.ask(owner, 'DELETE', `/api/projects/${project.id}`)
  await eventually(async () => expect(await objects()).toEqual(kept), { timeoutMs: 30_000, everyMs: 100 })
  await eventually(async () => expect(await deletions()).toBe(0))
}, 90_000)

test('the files of deleted tasks, of their subtasks and of a deleted account go', async () => {
  await using _worker = await openWorker(workerSettings())
  const task = await newTask(owner.inboxId)
  const subtask = await world.ask(owner, 'POST', '/api/tasks', {
    projectId: owner.inboxId,
    parentId: task.id,
    title: 'Below',
  })
  const inInbox = await newTask(owner.inboxId)
  await attach(task.id, 2)
  await attach(subtask.id, 2)
  const kept = await attach(inInbox.id, 2)
  await world.ask(owner, 'DELETE', `/api/tasks/${task.id}`)
  await eventually(async () => expect(await objects()).toEqual(kept), { timeoutMs: 30_000, everyMs: 100 })
  await world.call('DELETE', '/api/users/me', {
    token: owner.token,
    body: { password: 'correct horse battery' },
  })
  await eventually(async () => expect(await objects()).toEqual([]), { timeoutMs: 30_000, everyMs: 100 })
}, 90_000)

test('objects that no entry announces go, too', async () => {
  await using _worker = await openWorker(workerSettings())
  await attach((await newTask(owner.inboxId)).id, 3)
  await db.transact((tx) => tx`delete from attachments`)
  await eventually(async () => expect(await objects()).toEqual([]), { timeoutMs: 30_000, everyMs: 100 })
}, 60_000)

test('a deletion is given to one delivery, in whichever transactions it is looked for', async () => {
  await attach((await newTask(owner.inboxId)).id, 250)
  await db.transact((tx) => tx`delete from attachments`)
  await Promise.all(Array.from({ length: 4 }, () => db.transact((tx) => queueFileDeletions(tx))))
  const rows = await db.read(
    (sql) =>
      sql<{ keys: string[] }[]>`select payload->'keys' as keys from deliveries where kind = 'files.delete'`,
  )
  expect(rows.flatMap(({ keys }) => keys).toSorted()).toEqual(await objects())
  expect(rows.every(({ keys }) => keys.length <= 100)).toBe(true)
  expect(await db.transact((tx) => requeueFileDeletions(tx, 2))).toBe(0)
  await db.transact((tx) => tx`update file_deletions set queued_at = now() - interval '3 days'`)
  expect(await db.transact((tx) => requeueFileDeletions(tx, 2))).toBe(250)
})

test('a sweep lists objects without rows that are older than a day, and flags rows without objects', async () => {
  const task = await newTask(owner.inboxId)
  await attach(task.id, 3, { daysOld: 2 })
  const orphans = await attach(task.id, 2, { daysOld: 2, withRows: false })
  const young = await attach(task.id, 2, { withRows: false })
  await attach(task.id, 1, { daysOld: 2, withObjects: false })
  await attach(task.id, 1, { withObjects: false })
  const before = await objects()
  const found = { objects: 7, orphans: 2, youngOrphans: 2, rows: 4, missing: 1, isRefused: false }
  expect(await sweep({ isDryRun: true })).toMatchObject({ ...found, listed: 0 })
  expect(await db.read(selectFileState)).toMatchObject({ deletions: 0, missing: 0 })
  expect(await sweep()).toMatchObject({ ...found, listed: 2 })
  expect(await db.read(selectFileState)).toMatchObject({ deletions: 2, missing: 1 })
  {
    await using _worker = await openWorker(workerSettings())
    const left = before.filter((key) => !orphans.includes(key))
    await eventually(async () => expect(await objects()).toEqual(left), { timeoutMs: 30_000, everyMs: 100 })
  }
  expect(await objects()).toEqual(expect.arrayContaining(young))
  // The object is back, from a backup of the storage.
  const [missing] = await db.read(
    (sql) =>
      sql<{ key: string }[]>`select storage_key as key from attachments where missing_since is not null`,
  )
  await storage.put(missing!.key, new TextEncoder().encode('text'))
  expect(await sweep()).toMatchObject({ orphans: 0, missing: 0 })
  expect(await db.read(selectFileState)).toMatchObject({ missing: 0 })
}, 60_000)

test('the sweep of a night is recorded once, from three o’clock on, and a worker runs it and keeps its report', async () => {
  await using _worker = await openWorker(workerSettings())
  const night = new Date('2031-05-01T03:00:00.000Z')
  for (const at of ['2031-05-01T02:59:59.000Z', '2031-05-01T03:00:00.000Z', '2031-05-01T23:00:00.000Z'])
    await scheduleSweep({ db }, new Date(at))
  const recorded = await db.read(
    (sql) =>
      sql`select from deliveries where dedupe_key = ${`files.sweep:${night.toISOString().slice(0, 10)}`}`,
  )
  expect(recorded).toHaveLength(1)
  await eventually(
    async () =>
      expect((await db.read(selectFileState)).lastSweep).toMatchObject({ objects: 0, isDryRun: false }),
    { timeoutMs: 20_000, everyMs: 100 },
  )
}, 40_000)

test('a sweep of a storage that seems to be of another database deletes nothing until it is forced', async () => {
  const task = await newTask(owner.inboxId)
  await attach(task.id, 3, { daysOld: 2 })
  await attach(task.id, 120, { daysOld: 2, withRows: false })
  expect(await sweep()).toMatchObject({ orphans: 120, listed: 0, isRefused: true })
  expect(await deletions()).toBe(0)
  expect(await sweep({ isForced: true })).toMatchObject({ orphans: 120, listed: 120, isRefused: false })
  expect(await deletions()).toBe(120)
})
