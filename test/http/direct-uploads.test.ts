// Direct uploads: a client stores the object in S3, a worker verifies it, and only then it is an attachment; whatever
// differs from what was declared leaves nothing but a reason for the uploader.
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test'
import { openWorker } from '../../src/app/compose-worker.ts'
import { beginVerification } from '../../src/db/files/attachments.ts'
import { verifyDirectUpload } from '../../src/domain/attachments/verify.ts'
import { messageOf, unavailable } from '../../src/errors.ts'
import { systemWrite, write } from '../../src/domain/write.ts'
import { createLog } from '../../src/log.ts'
import type { Attachment, DirectUpload } from '../../src/model/attachment.ts'
import { projectScope, userScope } from '../../src/model/scope.ts'
import { eventually } from '../support/eventually.ts'
import { startS3Server, type S3Server } from '../support/s3-server.ts'
import { png, upload, zipOf } from '../support/uploads.ts'
import { startWorld, type Person, type World } from '../support/world.ts'

const stack = new AsyncDisposableStack()
afterAll(() => stack.disposeAsync(), 30_000)

let world: World
let s3: S3Server
let owner: Person
let projectId: string
let taskId: string

beforeAll(async () => {
  s3 = stack.use(await startS3Server())
  world = stack.use(await startWorld(s3.config()))
  stack.use(await openWorker(world.config, createLog('worker', 'silent')))
  owner = await world.register()
  projectId = (await world.project(owner)).id
}, 60_000)

beforeEach(async () => {
  taskId = (await world.ask(owner, 'POST', '/api/tasks', { projectId, title: 'Files' })).id
})

const sha256 = (bytes: Uint8Array): string => new Bun.CryptoHasher('sha256').update(bytes).digest('hex')
const bytesOf = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text)

interface Declared {
  filename?: string
  content: Uint8Array<ArrayBuffer>
  contentType?: string
  size?: number
  hash?: string
}

const begin = (declared: Declared, person = owner, task = taskId, headers: Record<string, string> = {}) =>
  world.call<DirectUpload>('POST', `/api/tasks/${task}/attachments/uploads`, {
    token: person.token,
    headers,
    body: {
      filename: declared.filename ?? 'dot.png',
      size: declared.size ?? declared.content.byteLength,
      sha256: declared.hash ?? sha256(declared.content),
      contentType: declared.contentType ?? 'image/png',
    },
  })

const store = async ({ url, method, headers }: DirectUpload, content: Uint8Array<ArrayBuffer>) => {
  const { status } = await fetch(url, { method, headers, body: content })
  expect(status).toBe(200)
}

const complete = (id: string, person = owner) =>
  world.call<Attachment>('POST', `/api/attachments/${id}/complete`, { token: person.token })

const rowOf = async (id: string) => {
  const [row] = await world.server.deps.db.read(
    (sql) => sql<{ state: string; key: string }[]>`
      select state, storage_key as key from attachments where id = ${id}`,
  )
  return row ?? null
}

test('an object that is as declared becomes an attachment: 201, 202, attachment.added', async () => {
  const { status, body: begun, headers } = await begin({ content: png, filename: '../plan ü.png' })
  expect([status, headers.get('location')]).toEqual([201, `/api/attachments/${begun.id}`])
  expect(headers.get('etag')).toBe(`"${sha256(png)}"`) // of the file that will be there
  expect(Date.parse(begun.expiresAt) - Date.now()).toBeWithin(3_500_000, 3_700_000)
  // Not shown before it is verified.
  expect((await world.ask(owner, 'GET', `/api/tasks/${taskId}/attachments`)).items).toEqual([])
  expect((await world.call('GET', `/api/attachments/${begun.id}`, { token: owner.token })).status).toBe(404)
  expect((await world.call('DELETE', `/api/attachments/${begun.id}`, { token: owner.token })).status).toBe(
    404,
  )
  await store(begun, png)
  const completed = await complete(begun.id)
  expect([completed.status, completed.body.filename]).toEqual([202, 'plan ü.png'])
  expect(completed.headers.get('etag')).toBe(`"${sha256(png)}"`)
  await eventually(async () => {
    const [shown] = (await world.ask(owner, 'GET', `/api/tasks/${taskId}/attachments`)).items
    expect(shown).toMatchObject({
      id: begun.id,
      contentType: 'image/png',
      size: png.byteLength,
      uploaderId: owner.id,
    })
  })
  const entries = (await world.entries(projectScope(projectId)))
    .filter(({ type }) => type !== 'stats.updated')
    .slice(-2)
  expect(entries.map(({ type, entityId, actorId }) => [type, entityId, actorId])).toEqual([
    ['attachment.added', begun.id, owner.id],
    ['task.updated', taskId, owner.id],
  ])
  const sent = await fetch(`${world.url}/api/attachments/${begun.id}`, {
    headers: { Authorization: `Bearer ${owner.token}` },
  })
  expect(sha256(await sent.bytes())).toBe(sha256(png))
  const part = await fetch(`${world.url}/api/attachments/${begun.id}`, {
    headers: { Authorization: `Bearer ${owner.token}`, Range: 'bytes=1-3' },
  })
  expect([part.status, part.headers.get('content-length'), await part.text()]).toEqual([206, '3', 'PNG'])
  // Twice is once.
  const again = await complete(begun.id)
  expect([again.status, again.body.id]).toEqual([202, begun.id])
  await world.ask(owner, 'DELETE', `/api/attachments/${begun.id}`)
})

test('what differs from its declaration is removed with the reason, for the uploader alone', async () => {
  const html = bytesOf('<!doctype html><script>alert(1)</script>')
  const cases: [string, Declared, Uint8Array<ArrayBuffer> | null][] = [
    ['size_mismatch', { content: png, size: png.byteLength + 1 }, png],
    ['hash_mismatch', { content: png, hash: sha256(html) }, png],
    ['unsupported_type', { content: html }, html],
    ['type_mismatch', { content: zipOf({ 'a.txt': 'a' }) }, zipOf({ 'a.txt': 'a' })],
    ['object_missing', { content: png }, null],
  ]
  const shown = async () =>
    (await world.entries(projectScope(projectId))).filter(({ type }) => type.startsWith('attachment.')).length
  const before = await shown()
  for (const [reason, declared, stored] of cases) {
    const { body: begun } = await begin(declared)
    const { key } = (await rowOf(begun.id))!
    if (stored) await store(begun, stored)
    expect((await complete(begun.id)).status).toBe(202)
    await eventually(async () => expect([reason, await rowOf(begun.id)]).toEqual([reason, null]))
    const removed = (await world.entries(userScope(owner.id))).at(-1)!
    expect([reason, removed.type, removed.entityId]).toEqual([reason, 'attachment.removed', begun.id])
    expect(JSON.parse(removed.frame!).data).toMatchObject({ id: begun.id, taskId, reason })
    await eventually(
      async () => expect([reason, await world.server.deps.storage.head(key)]).toEqual([reason, null]),
      { timeoutMs: 20_000 },
    )
    expect((await complete(begun.id)).status).toBe(404)
  }
  expect(await shown()).toBe(before)
}, 90_000)

test("someone else's upload is 404, a late one 410, and one that is deleted with its task goes", async () => {
  const other = await world.register()
  await world.ask(owner, 'POST', `/api/projects/${projectId}/members`, { email: other.email, role: 'editor' })
  const { body: begun } = await begin({ content: png })
  expect((await complete(begun.id, other)).status).toBe(404)
  expect((await complete('01933b6e-7c4a-7d3e-8f21-000000000000')).status).toBe(404)
  await world.server.deps.db.transact(
    (tx) => tx`update attachments set expires_at = now() - interval '1 minute' where id = ${begun.id}`,
  )
  const late = await complete(begun.id)
  expect([late.status, (late.body as unknown as { code: string }).code]).toEqual([410, 'upload_expired'])

  const task = (await world.ask(owner, 'POST', '/api/tasks', { projectId, title: 'Short' })).id
  const { body: lost } = await begin({ content: png }, owner, task)
  await store(lost, png)
  const { key } = (await rowOf(lost.id))!
  await world.ask(owner, 'DELETE', `/api/tasks/${task}`)
  expect((await complete(lost.id)).status).toBe(404)
  await eventually(async () => expect(await world.server.deps.storage.head(key)).toBeNull(), {
    timeoutMs: 20_000,
  })
})

test('a repeat of the reservation with its key is 404 once its member was removed', async () => {
  const member = await world.register()
  const members = `/api/projects/${projectId}/members`
  await world.ask(owner, 'POST', members, { email: member.email, role: 'editor' })
  const key = { 'Idempotency-Key': crypto.randomUUID() }
  const first = await begin({ content: png }, member, taskId, key)
  const repeated = await begin({ content: png }, member, taskId, key)
  expect([first.status, repeated.status, repeated.body]).toEqual([201, 201, first.body])
  await world.ask(owner, 'DELETE', `${members}/${member.id}`)
  const refused = await begin({ content: png }, member, taskId, key)
  expect([refused.status, JSON.stringify(refused.body).includes(first.body.id)]).toEqual([404, false])
})

test('a large object is verified piece by piece, none of which is kept', async () => {
  const content = new Uint8Array(32 * 1024 * 1024).fill(0x61)
  const { body: begun } = await begin({ content, filename: 'large.txt', contentType: 'text/plain' })
  const { db, storage, ...deps } = world.server.deps
  // In parts: the store of the tests takes no more than 11 MiB in one request.
  await storage.put((await rowOf(begun.id))!.key, content)
  await db.transact((tx) => beginVerification(tx, begun.id))
  let largest = 0
  /** Every piece of the object in the same memory: one that is kept has the bytes of a later one. */
  const inOneBuffer = async function* (body: AsyncIterable<Uint8Array>) {
    let buffer = new Uint8Array()
    for await (const piece of body) {
      largest = Math.max(largest, piece.byteLength)
      if (buffer.byteLength < piece.byteLength) buffer = new Uint8Array(piece.byteLength)
      buffer.set(piece)
      yield buffer.subarray(0, piece.byteLength)
      buffer.fill(0)
    }
  }
  const get: typeof storage.get = async (key, range) => {
    const object = await storage.get(key, range)
    if (!object || object.body instanceof Blob) return object
    const pieces = inOneBuffer(object.body)
    const pull = async (controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> => {
      const { done, value } = await pieces.next()
      if (done === true) controller.close()
      else controller.enqueue(value)
    }
    return { ...object, body: new ReadableStream({ pull }, { highWaterMark: 0 }) }
  }
  const { signal } = new AbortController()
  // While the storage is away no attempt names a copy: the copies of earlier ones would be listed for deletion.
  const listed = () => db.read((sql) => sql`select from file_deletions`).then((rows) => rows.length)
  const listedBefore = await listed()
  const away = { ...storage, get, head: () => Promise.reject(unavailable()) }
  for (let attempt = 1; attempt <= 3; attempt += 1)
    expect(await verifyDirectUpload({ db, storage: away }, begun.id, signal).catch(messageOf)).toBe(
      unavailable().message,
    )
  expect(await listed()).toBe(listedBefore)
  const complete = await verifyDirectUpload(
    {
      db,
      storage: {
        head: (key) => storage.head(key),
        copy: (from, to, bytes) => storage.copy(from, to, bytes),
        get,
      },
    },
    begun.id,
    signal,
  )
  await write({ db, ...deps }, systemWrite, async (tx) => ({ value: null, entries: await complete(tx) }))
  expect(largest).toBeWithin(1, 2 * 1024 * 1024)
  const [shown] = (await world.ask(owner, 'GET', `/api/tasks/${taskId}/attachments`)).items
  expect(shown).toMatchObject({ id: begun.id, size: content.byteLength, contentType: 'text/plain' })
}, 120_000)

test('declarations that cannot be are refused, and the quota counts them', async () => {
  const refused = async (declared: Declared) => {
    const { status, body } = await begin(declared)
    return [status, (body as unknown as { code: string }).code]
  }
  expect(await refused({ content: png, size: 1024 ** 3 + 1 })).toEqual([413, 'file_too_large'])
  expect(await refused({ content: png, size: 0 })).toEqual([422, 'validation_failed'])
  expect(await refused({ content: png, hash: 'x' })).toEqual([422, 'validation_failed'])
  expect(await refused({ content: png, contentType: 'text/html' })).toEqual([415, 'unsupported_type'])
  const person = await world.register()
  const task = (await world.ask(person, 'POST', '/api/tasks', { title: 'Full' })).id
  const big = { content: png, size: 600 * 1024 * 1024 }
  const [first, second] = [await begin(big, person, task), await begin(big, person, task)]
  expect([first.status, second.status]).toEqual([201, 413])
  const small = await upload<{ code: string }>({
    url: world.url,
    token: person.token,
    taskId: task,
    content: 'x'.repeat(1_000),
  })
  expect(small.status).toBe(201)
  // An upload that was never completed gives its bytes back.
  await world.server.deps.db.transact(
    (tx) => tx`update attachments set expires_at = now() - interval '1 minute' where id = ${first.body.id}`,
  )
  expect((await begin(big, person, task)).status).toBe(201)
})

test('without S3 they are 409, and rights come first', async () => {
  await using plain = await startWorld()
  const [ada, bob] = [await plain.register(), await plain.register()]
  const task = (await plain.ask(ada, 'POST', '/api/tasks', { title: 'x' })).id
  const body = { filename: 'a.png', size: 1, sha256: sha256(png), contentType: 'image/png' }
  const path = `/api/tasks/${task}/attachments/uploads`
  const mine = await plain.call('POST', path, { token: ada.token, body })
  expect([mine.status, mine.body.code]).toEqual([409, 'direct_upload_unavailable'])
  expect((await plain.call('POST', path, { token: bob.token, body })).status).toBe(404)
})

test('uploads through the server are stored in S3, too; while it is away they are 503 and leave nothing', async () => {
  const send = () =>
    upload<{ id: string; code: string }>({
      url: world.url,
      token: owner.token,
      taskId,
      content: 'over the wire',
    })
  const made = await send()
  expect(made.status).toBe(201)
  const { key } = (await rowOf(made.body.id))!
  expect((await world.server.deps.storage.head(key))?.size).toBe(13)
  await s3.kill()
  const refused = await send()
  expect([refused.status, refused.body.code]).toEqual([503, 'unavailable'])
  const gone = await fetch(`${world.url}/api/attachments/${made.body.id}`, {
    headers: { Authorization: `Bearer ${owner.token}` },
  })
  expect(gone.status).toBe(503)
  const health = await world.call('GET', '/readyz')
  expect([health.status, health.body.status, health.body.parts.storage]).toEqual([
    200,
    'degraded',
    'degraded',
  ])
  const [row] = await world.server.deps.db.read(
    (sql) =>
      sql<
        { unfinished: number }[]
      >`select count(*)::int as unfinished from attachments where state = 'uploading'`,
  )
  expect(row!.unfinished).toBe(0)
  await s3.start()
  expect((await send()).status).toBe(201)
}, 60_000)
