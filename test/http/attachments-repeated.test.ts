// Uploads that are repeated under an Idempotency-Key, and too many of them.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { eventually } from '../support/eventually.ts'
import { upload } from '../support/uploads.ts'
import { startWorld, type Person, type World } from '../support/world.ts'

let world: World
let owner: Person
let taskId: string
beforeAll(async () => {
  world = await startWorld()
  owner = await world.register()
  taskId = (await world.ask(owner, 'POST', '/api/tasks', { title: 'Files' })).id
})
afterAll(() => world[Symbol.asyncDispose]())

const send = <T>(key: string, content: string, name = 'a.txt', person = owner) =>
  upload<T>({
    url: world.url,
    token: person.token,
    taskId,
    name,
    content,
    headers: { 'Idempotency-Key': key },
  })

const counts = async () => {
  const [row] = await world.server.deps.db.read(
    (sql) => sql<{ rows: number; listed: number }[]>`
      select (select count(*) from attachments)::int as rows, (select count(*) from file_deletions)::int as listed`,
  )
  let objects = 0
  for await (const _ of world.server.deps.storage.list('attachments/')) objects += 1
  return { ...row!, objects }
}

test('an equal upload is answered again and stored once; another file or name under the key is 422', async () => {
  const before = await counts()
  const first = await send<{ id: string }>('one', 'the same bytes')
  const again = await send<{ id: string }>('one', 'the same bytes')
  expect([first.status, again.status, again.body]).toEqual([201, 201, first.body])
  expect([first.headers.get('idempotency-replayed'), again.headers.get('idempotency-replayed')]).toEqual([
    null,
    'true',
  ])
  expect(await counts()).toEqual({ ...before, rows: before.rows + 1, objects: before.objects + 1 })
  for (const other of [
    send<{ code: string }>('one', 'other bytes'),
    send<{ code: string }>('one', 'the same bytes', 'b.txt'),
  ])
    expect((await other).body.code).toBe('idempotency_key_reused')
  await eventually(async () => expect((await counts()).rows).toBe(before.rows + 1))
})

test('equal uploads at the same moment have one effect; objects of the others are listed for deletion', async () => {
  const before = await counts()
  const answers = await Promise.all(Array.from({ length: 8 }, () => send<{ id: string }>('many', 'once')))
  const made = answers.filter(({ status }) => status === 201)
  expect(made.length).toBeGreaterThan(0)
  expect(new Set(made.map(({ body }) => body.id)).size).toBe(1)
  expect(answers.filter(({ status }) => ![201, 409].includes(status))).toEqual([])
  await eventually(async () => {
    const now = await counts()
    expect(now.rows).toBe(before.rows + 1)
    // Each object is either the one of the row or listed.
    expect(now.objects - now.listed).toBe(before.objects - before.listed + 1)
  })
})

test('sixty uploads an hour, then 429 with the policy in its headers', async () => {
  await using limited = await world.another({ rateLimit: true, uploadsPerHour: 3 })
  const send = () => upload<{ code: string }>({ url: limited.url, token: owner.token, taskId })
  for (let n = 0; n < 3; n += 1) expect((await send()).status).toBe(201)
  const refused = await send()
  expect([refused.status, refused.body.code, refused.headers.get('ratelimit-policy')]).toEqual([
    429,
    'rate_limited',
    '"uploads";q=3;w=3600',
  ])
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
  expect(world.config.uploadsPerHour).toBe(60)
})
