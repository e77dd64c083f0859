// Comments over HTTP: who may write, change and delete them, what the log and the task show of them, and what is refused.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { projectScope, userScope } from '../../src/model/scope.ts'
import { Comment } from '../../src/model/comment.ts'
import type { Project } from '../../src/model/project.ts'
import { newId } from '../../src/model/scalar.ts'
import type { Task } from '../../src/model/task.ts'
import { Value } from '@sinclair/typebox/value'
import { callsOf, frameOf, pointersOf, watching, type Calls } from '../support/tasks.ts'
import { startWorld, testPassword, type Answer, type Person, type World } from '../support/world.ts'

let world: World
let people: Record<'owner' | 'editor' | 'viewer' | 'stranger' | 'watcher' | 'helper', Person>
let as: Record<keyof typeof people | 'admin', Calls>
let project: Project

beforeAll(async () => {
  world = await startWorld()
  people = {
    ...(await world.people('owner', 'editor', 'viewer')),
    ...(await world.people('stranger', 'watcher', 'helper')),
  }
  const admin = await world.registerAdmin()
  const all = { ...people, admin }
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the keys of `all`
  as = Object.fromEntries(Object.entries(all).map(([name, one]) => [name, callsOf(world, one)])) as typeof as
  project = await world.project(people.owner, { editor: people.editor, viewer: people.viewer })
})

afterAll(() => world[Symbol.asyncDispose]())

/** A task of the project, shared with the watcher (view) and the helper (edit). */
const newTask = async (fields: object = {}): Promise<Task> => {
  const task = await as.owner.task({ projectId: project.id, ...fields })
  await as.owner.share(task, people.watcher, 'view')
  await as.owner.share(task, people.helper, 'edit')
  return task
}

const pathOf = ({ id }: Pick<Task, 'id'>): string => `/api/tasks/${id}/comments`

const comment = async (calls: Calls, task: Task, fields: object = {}): Promise<Comment> => {
  const answer = await calls.call<Comment>('POST', pathOf(task), { body: 'Done?', ...fields })
  expect(answer.status).toBe(201)
  return answer.body
}

const change = (calls: Calls, { id }: Comment, patch: object, headers: Record<string, string> = {}) =>
  calls.call<Comment & { code: string; currentVersion: number }>(
    'PATCH',
    `/api/comments/${id}`,
    patch,
    headers,
  )

const remove = (calls: Calls, { id }: Comment, headers: Record<string, string> = {}) =>
  calls.call<{ code: string }>('DELETE', `/api/comments/${id}`, undefined, headers)

const list = async (calls: Calls, task: Task, query = ''): Promise<Answer<any>> =>
  calls.call('GET', `${pathOf(task)}${query}`)

const codeOf = ({ status, body }: Answer<{ code?: string }>): string => `${status} ${body.code ?? ''}`.trim()

test('a comment is answered, listed and logged for the project and for each user the task is shared with', async () => {
  const task = await newTask()
  const scopes = [projectScope(project.id), userScope(people.watcher.id), userScope(people.helper.id)]
  const { answer, logged } = await watching(world, scopes, () =>
    as.viewer.call<Comment>('POST', pathOf(task), { body: ' Done? ', mentions: [people.owner.id] }),
  )
  const { status, body, headers } = answer
  expect(status).toBe(201)
  expect(Value.Check(Comment, body)).toBe(true)
  expect(body).toEqual({
    id: expect.any(String),
    taskId: task.id,
    author: { id: people.viewer.id, name: 'viewer', avatarUrl: null },
    body: ' Done? ',
    mentions: [people.owner.id],
    version: 1,
    createdAt: expect.any(String),
    updatedAt: body.createdAt,
  })
  expect([headers.get('location'), headers.get('etag')]).toEqual([`/api/comments/${body.id}`, '"1"'])
  expect(logged).toEqual(
    ['project', 'user', 'user'].flatMap((scope) => [
      `${scope} comment.created v1`,
      `${scope} task.updated v2`,
    ]),
  )
  const [created, updated] = (await world.entries(scopes[0]!)).slice(-2)
  expect(frameOf(created)).toMatchObject({ id: body.id, actor: people.viewer.id, data: body })
  expect(created!.changes).toEqual({
    taskId: { from: null, to: task.id },
    body: { from: null, to: ' Done? ' },
    mentions: { from: [], to: [people.owner.id] },
  })
  expect(frameOf(updated).changed).toEqual(['commentCount'])
  expect(headers.get('tide-cursor')).toBe(frameOf(updated).cursor)
  const after = await as.owner.get(task.id)
  expect(after).toMatchObject({ commentCount: 1, version: 2 })
  expect((await list(as.watcher, task)).body).toEqual({ items: [body], nextCursor: null })
})

test('the table of rights: comment, change and delete', async () => {
  const rights: Record<keyof typeof as, [number, number, number]> = {
    owner: [201, 403, 204],
    editor: [201, 403, 204],
    admin: [201, 403, 204],
    viewer: [201, 403, 403],
    watcher: [201, 403, 403],
    helper: [201, 403, 403],
    stranger: [404, 404, 404],
  }
  const seen: Record<string, number[]> = {}
  for (const name of Object.keys(rights) as (keyof typeof as)[]) {
    const task = await newTask()
    const theirs = await comment(as.editor, task)
    const others = name === 'editor' ? await comment(as.viewer, task) : theirs
    seen[name] = [
      (await as[name].call('POST', pathOf(task), { body: 'Mine' })).status,
      (await change(as[name], others, { body: 'Not mine' })).status,
      (await remove(as[name], others)).status,
    ]
    if (name === 'stranger') continue
    const own = await comment(as[name], task)
    expect((await change(as[name], own, { body: 'Better' })).body).toMatchObject({
      body: 'Better',
      version: 2,
    })
    expect((await remove(as[name], own)).status).toBe(204)
  }
  expect(seen).toEqual(rights)
})

test('lists are oldest first, paged by cursor and by number, and 304 until something changes', async () => {
  const task = await newTask()
  const made: string[] = []
  for (let n = 0; n < 7; n += 1) made.push((await comment(as.viewer, task, { body: `${n}` })).id)
  const ids: string[] = []
  for (let query = '?limit=3'; ;) {
    const { body } = await list(as.owner, task, query)
    ids.push(...body.items.map(({ id }: Comment) => id))
    if (body.nextCursor === null) break
    query = `?limit=3&cursor=${body.nextCursor}`
  }
  expect(ids).toEqual(made)
  expect((await list(as.owner, task, '?limit=3&page=3')).body).toMatchObject({
    items: [{ id: made[6] }],
    page: 3,
    total: 7,
    totalPages: 3,
  })
  const first = await list(as.owner, task)
  const tag = { 'If-None-Match': first.headers.get('etag')! }
  expect((await as.owner.call('GET', pathOf(task), undefined, tag)).status).toBe(304)
  await world.ask(people.viewer, 'PATCH', '/api/users/me', { name: 'Vera' })
  const renamed = await as.owner.call<{ items: Comment[] }>('GET', pathOf(task), undefined, tag)
  expect(renamed.body.items[0]!.author!.name).toBe('Vera')
  await world.ask(people.viewer, 'PATCH', '/api/users/me', { name: 'viewer' })
  expect(codeOf(await list(as.owner, task, '?limit=0'))).toBe('422 validation_failed')
  expect(codeOf(await list(as.owner, task, '?cursor=x'))).toBe('400 bad_cursor')
  expect(codeOf(await list(as.owner, task, '?author=me'))).toBe('400 unknown_parameter')
})

test('a changed comment is logged with what changed; the same content is nothing', async () => {
  const task = await newTask()
  const made = await comment(as.viewer, task, { mentions: [people.owner.id] })
  const scopes = [projectScope(project.id), userScope(people.watcher.id)]
  const { answer, logged } = await watching(world, scopes, () =>
    change(as.viewer, made, {
      body: 'Done!',
      mentions: [people.owner.id, people.helper.id, people.owner.id],
    }),
  )
  expect(answer.body).toEqual({
    ...made,
    body: 'Done!',
    mentions: [people.owner.id, people.helper.id],
    version: 2,
    updatedAt: expect.any(String),
  } as never)
  expect(answer.headers.get('etag')).toBe('"2"')
  expect(logged).toEqual(['project comment.updated v2', 'user comment.updated v2'])
  const entry = (await world.entries(scopes[0]!)).at(-1)!
  expect(frameOf(entry)).toMatchObject({ changed: ['body', 'mentions'], data: answer.body })
  expect(entry.changes).toEqual({
    body: { from: 'Done?', to: 'Done!' },
    mentions: { from: [people.owner.id], to: [people.owner.id, people.helper.id] },
  })
  const before = await world.entryCount()
  const same = await change(as.viewer, made, { body: 'Done!' })
  expect([same.status, same.body.version, same.headers.has('tide-cursor')]).toEqual([200, 2, false])
  expect(await world.entryCount()).toBe(before)
  expect((await change(as.viewer, made, { mentions: null })).body.mentions).toEqual([])
  expect((await as.owner.get(task.id)).version).toBe(2) // only a new or removed comment is a change of the task
})

test('a deleted comment is logged, and lowers the count', async () => {
  const task = await newTask()
  const made = await comment(as.viewer, task)
  const scopes = [projectScope(project.id), userScope(people.helper.id)]
  const { answer, logged } = await watching(world, scopes, () => remove(as.editor, made))
  expect(answer.status).toBe(204)
  expect(logged).toEqual(
    ['project', 'user'].flatMap((scope) => [`${scope} comment.deleted v2`, `${scope} task.updated v3`]),
  )
  const [deleted] = (await world.entries(scopes[0]!)).slice(-2)
  expect(frameOf(deleted)).toMatchObject({ id: made.id, version: 2 })
  expect(deleted!.changes).toEqual({
    taskId: { from: task.id, to: null },
    body: { from: 'Done?', to: null },
  })
  expect(await as.owner.get(task.id)).toMatchObject({ commentCount: 0, version: 3 })
  expect((await list(as.owner, task)).body.items).toEqual([])
  for (const gone of [await remove(as.viewer, made), await change(as.viewer, made, { body: 'No' })])
    expect(codeOf(gone)).toBe('404 not_found')
})

test('If-Match: the version that was seen, or 412 with the current one', async () => {
  const task = await newTask()
  const made = await comment(as.viewer, task)
  const seen = { 'If-Match': '"1"' }
  expect((await change(as.viewer, made, { body: 'Two' }, seen)).status).toBe(200)
  const late = await change(as.viewer, made, { body: 'Three' }, seen)
  expect([codeOf(late), late.body.currentVersion]).toEqual(['412 version_conflict', 2])
  expect(codeOf(await remove(as.editor, made, seen))).toBe('412 version_conflict')
  expect((await remove(as.editor, made, { 'If-Match': '"1", W/"2"' })).status).toBe(204)
})

test('Idempotency-Key: one comment, replayed with its long body, and a deletion replayed after it', async () => {
  const task = await newTask()
  const body = `${'ö'.repeat(9_999)}!`
  const key = { 'Idempotency-Key': 'comment-once' }
  const post = () => as.viewer.call<Comment>('POST', pathOf(task), { body }, key)
  const answers = await Promise.all(Array.from({ length: 5 }, post))
  expect(new Set(answers.map((answer) => JSON.stringify(answer.body))).size).toBe(1)
  expect(answers.filter(({ headers }) => headers.get('idempotency-replayed') === 'true').length).toBe(4)
  const made = answers[0]!.body
  expect(made.body).toBe(body)
  expect((await as.owner.get(task.id)).commentCount).toBe(1)
  const rows = await world.server.deps.db.read(
    (sql) => sql<{ body: string }[]>`select body from idempotency_keys where key = ${key['Idempotency-Key']}`,
  )
  expect(rows[0]!.body.length).toBeLessThan(1_000)
  // A patch whose request does not carry the long text: it is found in the row.
  const mention = { 'Idempotency-Key': 'comment-mention' }
  const patched = await change(as.viewer, made, { mentions: [people.owner.id] }, mention)
  const again = await change(as.viewer, made, { mentions: [people.owner.id] }, mention)
  expect(again.headers.get('idempotency-replayed')).toBe('true')
  expect(again.body).toEqual(patched.body)
  expect(again.body.body).toBe(body)
  const entry = (await world.entries(projectScope(project.id))).findLast(
    ({ type }) => type === 'comment.created',
  )!
  expect(entry.changes!['body']!.to).toEqual({ length: 10_000 })
  const gone = { 'Idempotency-Key': 'comment-gone' }
  expect((await remove(as.viewer, made, gone)).status).toBe(204)
  const repeated = await remove(as.viewer, made, gone)
  expect([repeated.status, repeated.headers.get('idempotency-replayed')]).toEqual([204, 'true'])
  const other = await as.viewer.call<{ code: string }>('POST', pathOf(task), { body: 'Another' }, key)
  expect(codeOf(other)).toBe('422 idempotency_key_reused')
})

test('a mention names users who can read the task; an unknown and an unreadable one are refused alike', async () => {
  const task = await newTask()
  const before = await world.entryCount()
  const post = (mentions: unknown) => as.viewer.refused('POST', pathOf(task), { body: 'Hello', mentions })
  const reader = people.watcher.id
  const refused = [await post([reader, reader, people.stranger.id]), await post([reader, reader, newId()])]
  for (const answer of refused) {
    expect(codeOf(answer)).toBe('422 validation_failed')
    expect(pointersOf(answer)).toEqual(['/mentions/2'])
  }
  expect(refused[0]!.body.errors![0]!).toEqual(refused[1]!.body.errors![0]!)
  expect(pointersOf(await post(['nobody']))).toEqual(['/mentions/0'])
  expect(pointersOf(await post(Array.from({ length: 51 }, () => reader)))).toEqual(['/mentions'])
  expect(pointersOf(await post(reader))).toEqual(['/mentions'])
  expect(pointersOf(await post(null))).toEqual(['/mentions'])
  expect(await world.entryCount()).toBe(before)
  const made = await comment(as.viewer, task, { mentions: [reader.toUpperCase()] })
  expect(made.mentions).toEqual([reader])
  const patched = await change(as.viewer, made, { mentions: [people.stranger.id] })
  expect([patched.status, pointersOf(patched as never)]).toEqual([422, ['/mentions/0']])
  // Who was mentioned before stays, also without access; another cannot be added.
  await world.ask(people.owner, 'DELETE', `/api/tasks/${task.id}/shares/${reader}`)
  expect((await change(as.viewer, made, { mentions: [reader, people.owner.id] })).status).toBe(200)
  expect((await change(as.viewer, made, { mentions: [] })).status).toBe(200)
  expect((await change(as.viewer, made, { mentions: [reader] })).status).toBe(422)
})

test('bodies that are no comment are refused and leave nothing', async () => {
  const task = await newTask()
  const made = await comment(as.viewer, task)
  const before = await world.entryCount()
  const bad: [unknown, string[]][] = [
    [{}, ['/body']],
    [{ body: '' }, ['/body']],
    [{ body: ' \u200b\n' }, ['/body']],
    [{ body: 'x'.repeat(10_001) }, ['/body']],
    [{ body: 'a\0b' }, ['/body']],
    [{ body: '\ud800' }, ['/body']],
    [{ body: null }, ['/body']],
    [{ body: ['x'] }, ['/body']],
    [{ body: 'x', author: people.owner.id }, ['/author']],
    [{ body: 'x', taskId: task.id }, ['/taskId']],
    [{ body: 'x', id: newId() }, ['/id']],
    [{ body: 'x', version: 7 }, ['/version']],
  ]
  for (const [body, pointers] of bad) {
    const answer = await as.viewer.refused('POST', pathOf(task), body)
    expect({ body, status: answer.status, pointers: pointersOf(answer) }).toEqual({
      body,
      status: 422,
      pointers,
    })
    const patch = await as.viewer.refused('PATCH', `/api/comments/${made.id}`, body)
    expect({ body, status: patch.status }).toEqual({ body, status: 422 })
  }
  expect(await world.entryCount()).toBe(before)
  const long = '😀'.repeat(10_000)
  expect((await comment(as.viewer, task, { body: long })).body).toBe(long)
  const logged = (await world.entries(projectScope(project.id))).findLast(
    ({ type }) => type === 'comment.created',
  )
  const { omitted, data } = frameOf(logged)
  expect([omitted, data.taskId, 'body' in data]).toEqual([['body'], task.id, false])
  expect(logged!.changes!['body']!.to).toEqual({ length: 20_000 })
  const nfd = await comment(as.viewer, task, { body: 'Ame\u0301lie' })
  expect(nfd.body).toBe('Am\u00e9lie')
})

test('a comment on what is deleted, archived or not readable is refused, the unreadable like the unknown', async () => {
  const task = await newTask()
  const made = await comment(as.viewer, task)
  const post = (id: string, calls = as.viewer) =>
    calls.refused('POST', `/api/tasks/${id}/comments`, { body: 'Hi' })
  await world.ask(people.owner, 'DELETE', `/api/tasks/${task.id}`)
  expect(codeOf(await post(task.id))).toBe('404 not_found')
  expect(codeOf(await list(as.viewer, task))).toBe('404 not_found')
  expect(codeOf(await change(as.viewer, made, { body: 'No' }))).toBe('404 not_found')
  expect(codeOf(await remove(as.viewer, made))).toBe('404 not_found')
  const left = await world.server.deps.db.read((sql) => sql`select from comments where task_id = ${task.id}`)
  expect(left.length).toBe(0)
  const inbox = await as.stranger.task()
  const [theirs, unknown] = [await post(inbox.id), await post(newId())]
  const withoutPlace = ({ status, body }: typeof theirs) => ({ ...body, status, instance: '', requestId: '' })
  expect(withoutPlace(theirs)).toEqual(withoutPlace(unknown))
  const old = await world.project(people.owner, { viewer: people.viewer })
  const kept = await as.owner.task({ projectId: old.id })
  const own = await comment(as.viewer, kept)
  await world.ask(people.owner, 'POST', `/api/projects/${old.id}/archive`)
  expect(codeOf(await post(kept.id))).toBe('409 project_archived')
  expect(codeOf(await change(as.viewer, own, { body: 'No' }))).toBe('409 project_archived')
  expect(codeOf(await remove(as.viewer, own))).toBe('409 project_archived')
  expect((await list(as.viewer, kept)).body.items).toEqual([own])
})

test('access that ends takes the comments of the author out of its hands', async () => {
  const task = await newTask()
  const made = await comment(as.watcher, task)
  await world.ask(people.owner, 'DELETE', `/api/tasks/${task.id}/shares/${people.watcher.id}`)
  expect(codeOf(await change(as.watcher, made, { body: 'No' }))).toBe('404 not_found')
  expect(codeOf(await remove(as.watcher, made))).toBe('404 not_found')
  expect((await list(as.owner, task)).body.items).toEqual([made])
})

test('comments of a deleted account stay without their author, as a change of each', async () => {
  const task = await newTask()
  const leaver = await world.register('Leaver')
  await as.owner.share(task, leaver, 'view')
  const made = await comment(callsOf(world, leaver), task)
  await world.ask(leaver, 'DELETE', '/api/users/me', { password: testPassword })
  const { body } = await list(as.owner, task)
  expect(body.items).toEqual([{ ...made, author: null, version: 2, updatedAt: expect.any(String) }])
  const entry = (await world.entries(projectScope(project.id))).findLast(
    ({ type }) => type === 'comment.updated',
  )!
  expect(frameOf(entry)).toMatchObject({ id: made.id, changed: ['author'], data: body.items[0] })
  expect((await as.owner.get(task.id)).commentCount).toBe(1)
  // The content has not changed: the version that an editor has seen still deletes it.
  expect((await remove(as.editor, made, { 'If-Match': '"1"' })).status).toBe(204)
})

test('many comments at once on one task are all counted, in the order of their versions', async () => {
  const task = await newTask()
  await Promise.all(
    Array.from({ length: 40 }, async (_, n) => {
      const calls = [as.owner, as.editor, as.viewer, as.watcher][n % 4]!
      if (n % 8 === 7) return calls.call('PATCH', `/api/tasks/${task.id}`, { title: `Title ${n}` })
      return comment(calls, task, { body: `${n}` })
    }),
  )
  const after = await as.owner.get(task.id)
  expect(after.commentCount).toBe(35)
  const entries = await world.entries(projectScope(project.id))
  const versions = entries
    .filter(({ entityId, type }) => entityId === task.id && type.startsWith('task.'))
    .map(({ version }) => version)
  expect(versions).toEqual(Array.from({ length: after.version }, (_, n) => n + 1))
  expect((await list(as.owner, task, '?limit=100')).body.items.length).toBe(35)
})

test('comments and deletions of their task at once leave neither a comment nor a count behind', async () => {
  for (let round = 0; round < 6; round += 1) {
    const task = await newTask()
    const all = await Promise.all([
      ...Array.from({ length: 6 }, () => as.viewer.call('POST', pathOf(task), { body: 'Quick' })),
      as.owner.call('DELETE', `/api/tasks/${task.id}`),
      ...Array.from({ length: 6 }, () => as.editor.call('POST', pathOf(task), { body: 'Late' })),
    ])
    expect(all.every(({ status }) => [201, 204, 404].includes(status))).toBe(true)
    const left = await world.server.deps.db.read(
      (sql) => sql`select from comments where task_id = ${task.id}`,
    )
    expect(left.length).toBe(0)
  }
})
