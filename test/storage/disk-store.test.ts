// A disk that is not mounted, or an empty one in its place: nothing counts as gone, nothing is stored beside it, and it is
// said; once it is back, everything goes on.
import { afterEach, beforeEach, expect, test } from 'bun:test'
import { mkdir, mkdtemp, readdir, rename, rm, rmdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { queueFileDeletions } from '../../src/db/files/deletion-queue.ts'
import { selectFileState } from '../../src/db/files/sweep.ts'
import { sweepFiles } from '../../src/domain/files/sweep.ts'
import { openWorker } from '../../src/app/compose-worker.ts'
import { createLog } from '../../src/log.ts'
import { diskStorage } from '../../src/storage/disk.ts'
import { eventually } from '../support/eventually.ts'
import { upload } from '../support/uploads.ts'
import { startWorld, type Person, type World } from '../support/world.ts'

const log = createLog('test', 'silent')
let world: World
let owner: Person
let dataDir: string

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'tide-store-'))
  world = await startWorld({ dataDir })
  owner = await world.register()
}, 30_000)

afterEach(async () => {
  await world[Symbol.asyncDispose]()
  await rm(dataDir, { recursive: true, force: true })
}, 30_000)

const send = async (taskId: string) =>
  upload<{ id: string; code: string }>({ url: world.url, token: owner.token, taskId })

const ready = () => world.call('GET', '/readyz')

const open = async (id: string): Promise<number> =>
  (await fetch(`${world.url}/api/attachments/${id}`, { headers: { Authorization: `Bearer ${owner.token}` } }))
    .status

/** Two attachments, of which the row of the second is deleted while the disk is away. */
for (const [what, replace] of [
  ['not mounted, which leaves no folder', async () => {}],
  ['not mounted, which leaves an empty folder', (root: string) => mkdir(root)],
] as const)
  test(`a disk that is ${what}, is missed and not taken for an empty store`, async () => {
    const [root, aside] = [join(dataDir, 'files'), join(dataDir, 'aside')]
    const { db, storage } = world.server.deps
    const task = (await world.ask(owner, 'POST', '/api/tasks', { title: 'Files' })).id
    const [kept, removed] = [await send(task), await send(task)]
    expect([kept.status, removed.status, (await ready()).body.status]).toEqual([201, 201, 'up'])
    const objects = async () => (await Array.fromAsync(storage.list('attachments/'))).length
    expect(await objects()).toBe(2)

    await rename(root, aside)
    await replace(root)
    await world.ask(owner, 'DELETE', `/api/attachments/${removed.body.id}`)
    expect(await open(kept.body.id)).toBe(503)
    const refused = await send(task)
    expect([refused.status, refused.body.code]).toEqual([503, 'unavailable'])
    const avatarless = storage.delete('attachments/2026-11/none')
    expect(avatarless).rejects.toMatchObject({ code: 'unavailable' })
    const swept = sweepFiles({ db, storage, log }, { isDryRun: false, signal: new AbortController().signal })
    expect(swept).rejects.toMatchObject({ code: 'unavailable' })
    await eventually(async () => {
      const { status, body } = await ready()
      expect([status, body.parts.storage]).toEqual([200, 'degraded'])
      expect(body.reasons.storage).toContain('.store')
    })
    {
      await using _worker = await openWorker(world.config, log)
      await eventually(
        async () => {
          const rows = await db.read(
            (sql) =>
              sql`select from deliveries where kind = 'files.delete' and attempts > 0 and state <> 'done'`,
          )
          expect(rows.length).toBeGreaterThan(0)
        },
        { timeoutMs: 20_000 },
      )
      expect(await db.read((sql) => sql`select from file_deletions`)).not.toHaveLength(0)

      await rm(join(root, '.tmp'), { recursive: true, force: true })
      await rmdir(root).catch(() => {})
      await rename(aside, root)
      await eventually(async () => expect(await objects()).toBe(1), { timeoutMs: 30_000, everyMs: 100 })
      await eventually(async () => expect(await db.read(selectFileState)).toMatchObject({ deletions: 0 }), {
        timeoutMs: 30_000,
      })
    }
    expect(await open(kept.body.id)).toBe(200)
    await eventually(async () => expect((await ready()).body.parts.storage).toBe('up'))
    expect((await send(task)).status).toBe(201)
    expect(await db.transact((tx) => queueFileDeletions(tx))).toBe(0)
  }, 90_000)

test('a store is marked with its first object, and one that was begun without a mark is taken over', async () => {
  const root = join(dataDir, 'other')
  const inUse = diskStorage(root, () => Promise.resolve(false))
  const key = 'attachments/2026-11/one'
  const bytes = new TextEncoder().encode('text')
  expect(inUse.put(key, bytes)).rejects.toMatchObject({ code: 'unavailable' })
  const unused = diskStorage(root)
  expect(await unused.head(key)).toBeNull()
  await unused.put(key, bytes)
  expect((await readdir(root)).toSorted()).toEqual(['.store', '.tmp', 'attachments'])
  expect((await Array.fromAsync(inUse.list(''))).map((one) => one.key)).toEqual([key])
  await rm(join(root, '.store'))
  expect((await inUse.head(key))?.size).toBe(4)
  await inUse.put('attachments/2026-11/two', bytes)
  expect(await readdir(root)).toContain('.store')
})
