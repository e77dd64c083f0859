// The URL of a direct upload stays valid for its hour. What was verified is what is shown, whatever its owner stores there
// later, wherever a worker is killed, and however late a worker continues; and at the end every object has a row.
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test'
import { join } from 'node:path'
import { openWorker } from '../../src/app/compose-worker.ts'
import { beginVerification, selectAttachment } from '../../src/db/files/attachments.ts'
import { verifyDirectUpload, type VerifyDeps } from '../../src/domain/attachments/verify.ts'
import { systemWrite, write } from '../../src/domain/write.ts'
import { createLog } from '../../src/log.ts'
import type { Attachment, DirectUpload } from '../../src/model/attachment.ts'
import { verifyPoints } from '../chaos/files/points.ts'
import { variantEnvironment } from '../chaos/variants.ts'
import { eventually } from '../support/eventually.ts'
import { startS3Server, type S3Server } from '../support/s3-server.ts'
import { startWorld, type Person, type World } from '../support/world.ts'

const stack = new AsyncDisposableStack()
afterAll(() => stack.disposeAsync(), 30_000)

let s3: S3Server
let world: World
let owner: Person
let taskId: string

beforeAll(async () => {
  s3 = stack.use(await startS3Server())
  world = stack.use(await startWorld(s3.config()))
  owner = await world.register()
}, 60_000)

beforeEach(async () => {
  taskId = (await world.ask(owner, 'POST', '/api/tasks', { title: 'Files' })).id
})

const good = 'what was verified'
const evil = 'what came after it'.slice(0, good.length)

const store = async ({ url, method, headers }: DirectUpload, text: string): Promise<void> =>
  expect((await fetch(url, { method, headers, body: text })).status).toBe(200)

/** An upload whose object is stored. */
const begin = async (): Promise<DirectUpload> => {
  const begun: DirectUpload = await world.ask(owner, 'POST', `/api/tasks/${taskId}/attachments/uploads`, {
    filename: 'a.txt',
    size: good.length,
    sha256: new Bun.CryptoHasher('sha256').update(good).digest('hex'),
    contentType: 'text/plain',
  })
  await store(begun, good)
  return begun
}

const complete = async ({ id }: DirectUpload): Promise<void> => {
  const { status } = await world.call('POST', `/api/attachments/${id}/complete`, { token: owner.token })
  expect(status).toBe(202)
}

/** The same without a job: the test makes the attempts. */
const completeByHand = async ({ id }: DirectUpload): Promise<void> =>
  void (await world.server.deps.db.transact((tx) => beginVerification(tx, id)))

const shown = async (): Promise<Attachment[]> =>
  (await world.ask(owner, 'GET', `/api/tasks/${taskId}/attachments`)).items

const download = async (id: string): Promise<string> =>
  (
    await fetch(`${world.url}/api/attachments/${id}`, { headers: { Authorization: `Bearer ${owner.token}` } })
  ).text()

const keyOf = async (id: string): Promise<string> =>
  (await world.server.deps.db.read((sql) => selectAttachment(sql, id)))!.storageKey

/** Hours later, with a worker that has done what there was to do: no object is without a row, no row without an object. */
const settle = async (): Promise<void> => {
  const { db, storage } = world.server.deps
  await using _worker = await openWorker(world.config, createLog('worker', 'silent'))
  await eventually(
    async () => {
      await db.transact((tx) => tx`update file_deletions set created_at = now() where created_at > now()`)
      const [row] = await db.read(
        (sql) => sql<{ open: number }[]>`
          select (select count(*) from file_deletions) + (select count(*) from attachments where state <> 'ready') as open`,
      )
      expect(row!.open).toBe(0)
    },
    { timeoutMs: 30_000, everyMs: 100 },
  )
  const rows = await db.read(
    (sql) => sql<{ key: string }[]>`select storage_key as key from attachments order by 1`,
  )
  const objects = (await Array.fromAsync(storage.list('attachments/'))).map(({ key }) => key).toSorted()
  expect(objects).toEqual(rows.map(({ key }) => key).toSorted())
}

const attempt = (id: string, storage: Partial<VerifyDeps['storage']> = {}) => {
  const { deps } = world.server
  const own: VerifyDeps['storage'] = {
    head: (key) => deps.storage.head(key),
    copy: (from, to, size) => deps.storage.copy(from, to, size),
    get: (key, range) => deps.storage.get(key, range),
    ...storage,
  }
  return verifyDirectUpload({ db: deps.db, storage: own }, id, new AbortController().signal)
}

const commit = (completion: Awaited<ReturnType<typeof attempt>>) =>
  write(world.server.deps, systemWrite, async (tx) => ({ value: null, entries: await completion(tx) }))

test('what its owner stores under the URL after the verification is not shown, and goes', async () => {
  const begun = await begin()
  await complete(begun)
  {
    await using _worker = await openWorker(world.config, createLog('worker', 'silent'))
    await eventually(async () => expect(await shown()).toHaveLength(1), { timeoutMs: 20_000 })
    // Deleted once; from now on only its second deletion is left.
    await eventually(
      async () => {
        const rows = await world.server.deps.db.read(
          (sql) => sql`select from file_deletions where created_at <= now()`,
        )
        expect(rows).toHaveLength(0)
      },
      { timeoutMs: 20_000 },
    )
  }
  await store(begun, evil)
  expect(await download(begun.id)).toBe(good)
  await settle()
  expect(await download(begun.id)).toBe(good)
}, 90_000)

test('what is stored while it is verified is not shown', async () => {
  const begun = await begin()
  await completeByHand(begun)
  const { storage } = world.server.deps
  const completion = await attempt(begun.id, {
    async get(key, range) {
      const object = await storage.get(key, range)
      if (!object) return null
      const bytes = await new Response(object.body).bytes()
      await store(begun, evil)
      return { size: object.size, body: new Blob([bytes]) }
    },
  })
  await commit(completion)
  expect(await download(begun.id)).toBe(good)
  // Before it is copied: then it is what is verified.
  const second = await begin()
  await completeByHand(second)
  await commit(
    await attempt(second.id, {
      async copy(from, to, size) {
        await store(second, evil)
        return storage.copy(from, to, size)
      },
    }),
  )
  expect((await shown()).map(({ id }) => id)).toEqual([begun.id])
  await settle()
}, 90_000)

test('a store that fails before, in or after the copy, and a completion that is rolled back, cost an attempt', async () => {
  const begun = await begin()
  await completeByHand(begun)
  const { storage, db } = world.server.deps
  const fail = (): never => {
    throw new Error('away')
  }
  const broken: Partial<VerifyDeps['storage']>[] = [
    { head: fail },
    { copy: fail },
    // The copy is made and its answer is lost.
    { copy: (from, to, size) => storage.copy(from, to, size).then(fail) },
    { get: fail },
  ]
  for (const one of broken) expect(attempt(begun.id, one)).rejects.toThrow('away')
  const rolledBack = await attempt(begun.id)
  expect(db.transact((tx) => rolledBack(tx).then(fail))).rejects.toThrow('away')
  expect(await shown()).toEqual([])
  await commit(await attempt(begun.id))
  expect(await download(begun.id)).toBe(good)
  await settle()
  expect(await shown()).toHaveLength(1)
}, 90_000)

test('an attempt that lost its job and continues replaces nothing, and what it stores goes', async () => {
  const begun = await begin()
  await completeByHand(begun)
  const { storage } = world.server.deps
  const [reached, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const late = attempt(begun.id, {
    async copy(from, to, size) {
      reached.resolve()
      await released.promise
      await store(begun, evil)
      return storage.copy(from, to, size)
    },
  })
  await reached.promise
  await commit(await attempt(begun.id))
  const key = await keyOf(begun.id)
  released.resolve()
  await commit(await late)
  expect([await keyOf(begun.id), await download(begun.id)]).toEqual([key, good])
  await settle()
  expect(await download(begun.id)).toBe(good)

  // One that begins between the verdict of another and its completion: neither shows an object that it did not verify.
  const second = await begin()
  await completeByHand(second)
  const first = await attempt(second.id)
  const other = await attempt(second.id)
  expect(commit(first)).rejects.toThrow()
  await commit(other)
  expect(await download(second.id)).toBe(good)
  await settle()
}, 120_000)

/** A worker in a process that kills itself. */
const runDoomed = async (point: string): Promise<void> => {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, '../../src/main.ts'), 'worker'], {
    env: {
      ...process.env,
      ...variantEnvironment('failpoints'),
      ...s3.environment(),
      TIDE_FAILPOINT: point,
      DATABASE_URL: world.databaseUrl,
      REDIS_URL: world.redisUrl,
      JWT_SECRETS: 'k1:0123456789abcdef0123456789abcdef-test',
      TIDE_DATA: world.config.dataDir,
      WORKER_PORT: '0',
      METRICS_PORT: '0',
      LOG_LEVEL: 'silent',
    },
    stdout: 'ignore',
    stderr: 'inherit',
  })
  try {
    await child.exited
    expect(child.signalCode).toBe('SIGKILL')
  } finally {
    child.kill('SIGKILL')
    await child.exited
  }
}

for (const point of [...verifyPoints, 'job-acted', 'job-committed'])
  test(`a worker killed at ${point} leaves one attachment and no other object`, async () => {
    const begun = await begin()
    await complete(begun)
    await runDoomed(point)
    await settle()
    expect((await shown()).map(({ id }) => id)).toEqual([begun.id])
    expect(await download(begun.id)).toBe(good)
    expect((await world.ask(owner, 'GET', `/api/tasks/${taskId}`)).attachmentCount).toBe(1)
  }, 120_000)
