// Text of rows that a previous version wrote is normalised in bounded steps, while servers of both versions write: searches
// find every task, no write is lost, visible changes are logged, and a second run has nothing to do.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { append } from '../../src/db/log/append.ts'
import { projectScope, userScope } from '../../src/model/scope.ts'
import { createLog } from '../../src/log.ts'
import { newId } from '../../src/model/scalar.ts'
import type { Task } from '../../src/model/task.ts'
import { normaliseNames, normaliseTasks } from '../../src/worker/loops/text-form.ts'
import { callsOf, frameOf, type Calls } from '../support/tasks.ts'
import { startWorld, testPassword, type Person, type World } from '../support/world.ts'

let world: World
let ada: Person
let mine: Calls

beforeAll(async () => {
  world = await startWorld()
  ada = await world.register('Ada')
  mine = callsOf(world, ada)
})

afterAll(() => world[Symbol.asyncDispose]())

interface Old {
  id: string
  title: string
  tags: string[]
}

/** An insert of the previous version: without search words. */
const insertOld = (rows: Old[]): Promise<unknown> =>
  world.server.deps.db.transact(
    (tx) => tx`
      insert into tasks (id, project_id, title, tags, rank)
      select i.id, ${ada.inboxId}, i.title, i.tags, 'r' || i.id
      from json_to_recordset(${JSON.stringify(rows)}::text::json) as i (id uuid, title text, tags text[])`,
  )

/** An update of the previous version: all text columns, without search words, and its entry. */
const updateOld = (id: string, title: string): Promise<unknown> =>
  world.server.deps.db.transact(async (tx) => {
    await tx`
      update tasks set title = ${title}, description = '', tags = '{}', project_id = project_id, version = version + 1
      where id = ${id}`
    await append(tx, [
      { scope: projectScope(ada.inboxId), type: 'task.updated', id, version: 2, data: { id }, actorId: null },
    ])
  })

const deps = () => ({
  db: world.server.deps.db,
  publisher: world.server.deps.publisher,
  log: createLog('test', 'silent'),
  signal: new AbortController().signal,
})

const run = () => normaliseTasks(deps())

const searched = async (query: Record<string, string>): Promise<string[]> => {
  const path = `/api/tasks?${new URLSearchParams({ limit: '100', ...query }).toString()}`
  const { status, body } = await mine.call<{ items: Task[] }>('GET', path)
  expect(status).toBe(200)
  return body.items.map(({ id }) => id).toSorted()
}

test('rows are found by the old rules before and by the new ones after; only visible changes are logged', async () => {
  const accented: Old = { id: newId(), title: 'Re\u0301union plan', tags: ['straße', 'strasse', 'x'] }
  const plain: Old = { id: newId(), title: 'Réunion src/app.ts', tags: ['y'] }
  await insertOld([accented, plain])
  expect(await searched({ search: 'app' })).toEqual([plain.id])
  expect(await searched({ search: 'réunion' })).toEqual([plain.id])
  expect(await searched({ tag: 'x' })).toEqual([accented.id])
  const before = await world.entries(projectScope(ada.inboxId))
  expect(await run()).toEqual({ tasks: 2, changed: 1, mergedTags: 1 })
  for (const search of ['reunion', 'réunion', 'RÉUNION'])
    expect(await searched({ search })).toEqual([accented.id, plain.id].toSorted())
  expect(await searched({ search: 'app' })).toEqual([plain.id])
  expect(await searched({ tag: 'STRASSE' })).toEqual([accented.id])
  const task = await mine.get(accented.id)
  expect(task).toMatchObject({ title: 'Réunion plan', tags: ['straße', 'x'], version: 2 })
  expect((await mine.get(plain.id)).version).toBe(1)
  const entries = (await world.entries(projectScope(ada.inboxId))).slice(before.length)
  expect(entries.map(({ type, entityId, version }) => [type, entityId, version])).toEqual([
    ['task.updated', accented.id, 2],
  ])
  expect(frameOf(entries[0])).toMatchObject({ data: task, changed: ['title', 'tags'], actor: null })
  const count = await world.entryCount()
  expect(await run()).toEqual({ tasks: 0, changed: 0, mergedTags: 0 })
  expect(await world.entryCount()).toBe(count)
})

test('a text that the previous version changes afterwards is found by its new words, not by its old ones', async () => {
  const task = await mine.task({ title: 'Grüße aus Köln' })
  expect(await searched({ search: 'koln' })).toEqual([task.id])
  await updateOld(task.id, 'Grüße aus Bonn')
  expect(await searched({ search: 'koln' })).toEqual([])
  expect(await searched({ search: 'bonn' })).toEqual([task.id])
  expect((await run()).tasks).toBe(1)
  expect(await searched({ search: 'grusse bonn' })).toEqual([task.id])
  await updateOld(task.id, 'Grüße aus Bonn') // the same text: its words stay
  expect((await run()).tasks).toBe(0)
})

test('two workers normalise in steps while servers of both versions write: no write is lost, every task is found', async () => {
  const rows = Array.from({ length: 450 }, (_, n) => ({
    id: newId(),
    title: `Étape ${n} e\u0301`,
    tags: [`T${n}`],
  }))
  await insertOld(rows)
  const late = Array.from({ length: 30 }, (_, n) => ({ id: newId(), title: `Étape late ${n}`, tags: [] }))
  const writes = async (): Promise<void> => {
    for (const [n, row] of late.entries()) {
      await insertOld([row])
      const touched = rows[(n * 14) % rows.length]!
      expect((await mine.call('PATCH', `/api/tasks/${touched.id}`, { priority: 'high' })).status).toBe(200)
      await updateOld(rows[(n * 14 + 7) % rows.length]!.id, `Étape changed ${n}`)
    }
  }
  const [, first, second] = await Promise.all([writes(), run(), run()])
  expect(first.tasks + second.tasks).toBeGreaterThan(0)
  await run()
  const found = new Set<string>()
  for (let cursor: string | null = ''; cursor !== null;) {
    const query = new URLSearchParams({
      search: 'etape',
      limit: '100',
      sort: 'title',
      ...(cursor && { cursor }),
    })
    const { body }: { body: { items: Task[]; nextCursor: string | null } } = await mine.call(
      'GET',
      `/api/tasks?${query.toString()}`,
    )
    for (const { id, title } of body.items) {
      expect(title).toBe(title.normalize('NFC'))
      found.add(id)
    }
    cursor = body.nextCursor
  }
  expect(found.size).toBe(rows.length + late.length)
  expect(await run()).toEqual({ tasks: 0, changed: 0, mergedTags: 0 })
}, 30_000)

test('names and addresses are normalised and logged, and left alone where two accounts would be one', async () => {
  const [eve, bob, twin] = [
    await world.register('Eve'),
    await world.register('Bob'),
    await world.register('Bob II'),
  ]
  const local = `rene\u0301-${crypto.randomUUID()}`
  const [odd, colliding] = [`${local}@example.com`, `x${local}@example.com`]
  await world.server.deps.db.transact(async (tx) => {
    await tx`update users set name = ${'Rene\u0301'}, email = ${odd}, email_verified_at = now() where id = ${eve.id}`
    await tx`update users set email = ${colliding} where id = ${bob.id}`
    await tx`update users set email = ${colliding.normalize('NFC')} where id = ${twin.id}`
    await tx`update projects set name = ${'Inbe\u0301x'} where id = ${eve.inboxId}`
  })
  const signIn = (email: string) =>
    world.call<{ user: { id: string } }>('POST', '/api/auth/login', {
      body: { email, password: testPassword },
    })
  expect((await signIn(odd)).body.user.id).toBe(eve.id) // before it is normalised
  expect(await normaliseNames(deps())).toEqual({ users: 1, projects: 1, collidingUsers: [bob.id] })
  for (const email of [odd, odd.normalize('NFC')]) expect((await signIn(email)).body.user.id).toBe(eve.id)
  expect((await signIn(colliding)).body.user.id).toBe(bob.id)
  expect((await signIn(colliding.normalize('NFC'))).body.user.id).toBe(twin.id)
  const { body } = await callsOf(world, eve).call('GET', '/api/users/me')
  expect(body).toMatchObject({ name: 'René', email: odd.normalize('NFC'), emailVerified: true })
  const logged = [
    ...(await world.entries(userScope(eve.id))),
    ...(await world.entries(projectScope(eve.inboxId))),
  ]
  expect(logged.map(frameOf).filter((frame) => frame?.type.endsWith('.updated'))).toMatchObject([
    { type: 'user.updated', changed: ['email', 'name'], actor: null },
    { type: 'project.updated', changed: ['name'], version: 2, actor: null },
  ])
  const count = await world.entryCount()
  expect(await normaliseNames(deps())).toEqual({ users: 0, projects: 0, collidingUsers: [bob.id] })
  expect(await world.entryCount()).toBe(count)
})
