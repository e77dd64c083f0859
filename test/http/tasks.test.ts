// Tasks one at a time: each rule as its answer and the entries it leaves in the log.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { projectScope } from '../../src/model/scope.ts'
import type { Task } from '../../src/model/task.ts'
import { callsOf, entriesOf, frameOf, pointersOf, watching, type Calls } from '../support/tasks.ts'
import { startWorld, type Person, type World } from '../support/world.ts'

let world: World
let ada: Person
let bob: Person
let mine: Calls

beforeAll(async () => {
  world = await startWorld()
  ;({ Ada: ada, Bob: bob } = await world.people('Ada', 'Bob'))
  mine = callsOf(world, ada)
})

afterAll(() => world[Symbol.asyncDispose]())

const inbox = () => projectScope(ada.inboxId)

describe('creating', () => {
  test('a title is enough: defaults, the inbox, the last place, one entry', async () => {
    const before = await mine.task()
    const { answer, logged } = await watching(world, [inbox()], () =>
      mine.call<Task>('POST', '/api/tasks', { title: '  Write it \n' }),
    )
    const { status, body, headers } = answer
    expect(status).toBe(201)
    expect(body).toMatchObject({
      projectId: ada.inboxId,
      parentId: null,
      title: 'Write it',
      description: '',
      status: 'todo',
      priority: 'medium',
      assigneeId: null,
      creatorId: ada.id,
      dueAt: null,
      tags: [],
      completedAt: null,
      commentCount: 0,
      attachmentCount: 0,
      version: 1,
    })
    expect(body.rank > before.rank).toBe(true)
    expect(body.createdAt).toBe(body.updatedAt)
    expect(headers.get('location')).toBe(`/api/tasks/${body.id}`)
    expect(headers.get('etag')).toBe('"1"')
    expect(logged).toEqual(['project task.created v1'])
    const [entry] = await entriesOf(world, body)
    // P-HTTP-6
    expect(frameOf(entry)).toMatchObject({ data: body, actor: ada.id, cursor: headers.get('tide-cursor') })
    expect(entry!.changes).toMatchObject({
      title: { from: null, to: 'Write it' },
      status: { from: null, to: 'todo' },
    })
  })

  test('every field is made canonical', async () => {
    const task = await mine.task({
      title: ' T ',
      description: ' D ',
      status: 'done',
      priority: 'urgent',
      assigneeId: ada.id,
      dueAt: '2026-11-20T12:00:00.1239+02:00',
      tags: [' Docs', 'docs', 'ÄÖ "quoted", {x}\\'],
    })
    expect(task).toMatchObject({
      title: 'T',
      description: ' D ',
      status: 'done',
      assigneeId: ada.id,
      dueAt: '2026-11-20T10:00:00.123Z',
      tags: ['docs', 'äö "quoted", {x}\\'],
      completedAt: task.createdAt,
    })
    expect(await mine.get(task.id)).toEqual(task)
  })

  test('a client may choose the id, once and for ever', async () => {
    const id = Bun.randomUUIDv7()
    const task = await mine.task({ id })
    expect(task.id).toBe(id)
    const again = await mine.refused('POST', '/api/tasks', { id, title: 'Again' })
    expect([again.status, again.body.code]).toEqual([409, 'id_taken'])
    await mine.call('DELETE', `/api/tasks/${id}`)
    const { answer, logged } = await watching(world, [inbox()], () =>
      mine.refused('POST', '/api/tasks', { id, title: 'After deletion' }),
    )
    expect([answer.status, answer.body.code, logged]).toEqual([409, 'id_taken', []])
    const elsewhere = await callsOf(world, bob).refused('POST', '/api/tasks', { id, title: 'Elsewhere' })
    expect(elsewhere.body).toMatchObject({ ...again.body, requestId: expect.anything() })
    const v4 = await mine.refused('POST', '/api/tasks', { id: crypto.randomUUID(), title: 'v4' })
    expect([v4.status, pointersOf(v4)]).toEqual([422, ['/id']])
  })

  test('what is not a task is refused with a pointer and without an entry', async () => {
    const wrong: [unknown, string][] = [
      [{}, '/title'],
      [{ title: '  ' }, '/title'],
      [{ title: null }, '/title'],
      [{ title: 7 }, '/title'],
      [{ title: 'a\0b' }, '/title'],
      [{ title: '\ud800' }, '/title'],
      [{ title: 't', description: 'x'.repeat(10_001) }, '/description'],
      [{ title: 't', status: 'DONE' }, '/status'],
      [{ title: 't', priority: 'highest' }, '/priority'],
      [{ title: 't', dueAt: '2026-02-30T00:00:00Z' }, '/dueAt'],
      [{ title: 't', dueAt: '9999-12-31T23:00:00-05:00' }, '/dueAt'],
      [{ title: 't', dueAt: '0001-01-01T00:00:00+05:00' }, '/dueAt'],
      ['{"title":"t","dueAt":1e400}', '/dueAt'],
      [{ title: 't', tags: Array.from({ length: 21 }, (_, index) => `t${index}`) }, '/tags'],
      [{ title: 't', tags: ['x'.repeat(51)] }, '/tags/0'],
      [{ title: 't', tags: ['İ'.repeat(50)] }, '/tags/0'],
      [{ title: 't', tags: ['fine', ' '] }, '/tags/1'],
      [{ title: 't', tags: 'docs' }, '/tags'],
      [{ title: 't', assigneeId: 'me' }, '/assigneeId'],
      [{ title: 't', version: 7 }, '/version'],
      [{ title: 't', creatorId: bob.id }, '/creatorId'],
      [{ title: 't', rank: 'a0' }, '/rank'],
      [['title'], ''],
    ]
    const { logged } = await watching(world, [inbox()], async () => {
      for (const [body, pointer] of wrong) {
        const answer = await mine.refused('POST', '/api/tasks', body)
        expect({ body, status: answer.status, pointers: pointersOf(answer) }).toEqual({
          body,
          status: 422,
          pointers: expect.arrayContaining([pointer]),
        })
      }
    })
    expect(logged).toEqual([])
  })

  test('unusual text is returned as it was sent, in NFC', async () => {
    const titles = [
      'שלום עולם ‮reversed‬',
      '👩‍👩‍👧‍👦'.repeat(36) + 'abc', // 36 x 7 + 3 = 255 code points
      '😀'.repeat(255),
      "Robert'); drop table tasks;--",
      '%_\\ $1 ${x} {{y}} <script>',
      'e\u0301 \u200b zero width \ufeff inside',
      '\u{10ffff}\u{e000}',
    ]
    for (const title of titles) {
      const task = await mine.task({
        title,
        description: title,
        tags: [Array.from(title).slice(0, 40).join('')],
      })
      expect(task.title).toBe(title.normalize('NFC'))
      expect(await mine.get(task.id)).toEqual(task)
      const [entry] = await entriesOf(world, task)
      expect(frameOf(entry).data).toEqual(task)
    }
    for (const title of ['😀'.repeat(256), `${'a'.repeat(255)}b`])
      expect((await mine.refused('POST', '/api/tasks', { title })).status).toBe(422)
  })
})

describe('reading', () => {
  test('an answer has a tag, and a known tag saves the body', async () => {
    const task = await mine.task()
    const read = await mine.call('GET', `/api/tasks/${task.id}`)
    expect(read.headers.get('etag')).toBe('"1"')
    expect(read.headers.get('cache-control')).toBe('private, no-cache')
    const again = await mine.call('GET', `/api/tasks/${task.id}`, undefined, { 'If-None-Match': 'W/"1"' })
    expect([again.status, again.body as string]).toEqual([304, ''])
  })

  test('an unknown id, a foreign id and a malformed id are all 404', async () => {
    const theirs = await callsOf(world, bob).task()
    const answers = await Promise.all(
      [theirs.id, Bun.randomUUIDv7(), 'no-id', '%00'].map((id) => mine.refused('GET', `/api/tasks/${id}`)),
    )
    for (const { status, body } of answers) expect([status, body.code]).toEqual([404, 'not_found'])
    const [one, other] = answers.map(({ body }) => ({ ...body, instance: '', requestId: '' }))
    expect(one).toEqual(other)
  })
})

describe('changing', () => {
  test('a patch changes what it names, and logs the changes', async () => {
    const task = await mine.task({ tags: ['a'], dueAt: '2026-12-01T00:00:00Z' })
    const { answer, logged } = await watching(world, [inbox()], () =>
      mine.call<Task>('PATCH', `/api/tasks/${task.id}`, { status: 'done', dueAt: null }),
    )
    expect(answer.body).toEqual({
      ...task,
      status: 'done',
      dueAt: null,
      completedAt: expect.any(String),
      version: 2,
      updatedAt: answer.body.completedAt!,
    })
    expect(answer.headers.get('etag')).toBe('"2"')
    expect(logged).toEqual(['project task.updated v2'])
    const entry = (await entriesOf(world, task)).at(-1)
    expect(frameOf(entry)).toMatchObject({ changed: ['status', 'dueAt', 'completedAt'], data: answer.body })
    expect(entry!.changes!['status']).toEqual({ from: 'todo', to: 'done' })
    expect(answer.headers.get('tide-cursor')).toBe(frameOf(entry).cursor)
  })

  test('null sets the default, and a merge patch may be called one', async () => {
    const task = await mine.task({
      description: 'D',
      status: 'in_progress',
      priority: 'low',
      tags: ['a'],
      assigneeId: ada.id,
      dueAt: '2026-12-01T00:00:00Z',
    })
    const nothing = {
      description: null,
      status: null,
      priority: null,
      tags: null,
      assigneeId: null,
      dueAt: null,
    }
    const { body } = await mine.call<Task>('PATCH', `/api/tasks/${task.id}`, nothing, {
      'Content-Type': 'application/merge-patch+json',
    })
    expect(body).toMatchObject({
      description: '',
      status: 'todo',
      priority: 'medium',
      tags: [],
      assigneeId: null,
      dueAt: null,
      version: 2,
    })
  })

  test('an empty patch, a null title and fields that are not yours are refused', async () => {
    const task = await mine.task()
    const wrong = [{}, { title: null }, { creatorId: bob.id }, { version: 9 }, { createdAt: task.createdAt }]
    const more = [
      { role: 'admin' },
      { projectRole: 'owner' },
      { projectId: bob.inboxId },
      { rank: 'a' },
      { id: task.id },
    ]
    for (const body of [...wrong, ...more])
      expect((await mine.refused('PATCH', `/api/tasks/${task.id}`, body)).status).toBe(422)
    expect(await mine.get(task.id)).toEqual(task)
  })

  test('a patch without a change keeps the version and appends no entry', async () => {
    const task = await mine.task({ tags: ['a', 'b'], dueAt: '2026-12-01T00:00:00Z' })
    const { logged } = await watching(world, [inbox()], async () => {
      const same = { title: ' Write it ', tags: ['A', 'b ', 'a'], dueAt: '2026-12-01T01:00:00+01:00' }
      const patch = await mine.call<Task>('PATCH', `/api/tasks/${task.id}`, same)
      const put = await mine.call<Task>('PUT', `/api/tasks/${task.id}`, same)
      const tags = await mine.call<Task>('POST', `/api/tasks/${task.id}/tags`, { tags: ['B'] })
      for (const { status, body, headers } of [patch, put, tags]) {
        expect([status, body, headers.get('tide-cursor')]).toEqual([200, task, null])
      }
    })
    expect(logged).toEqual([])
  })

  test('PUT replaces: absent fields take their defaults, a missing title is refused', async () => {
    const task = await mine.task({ description: 'D', status: 'done', tags: ['a'], priority: 'low' })
    const { body } = await mine.call<Task>('PUT', `/api/tasks/${task.id}`, { title: 'New', priority: 'high' })
    expect(body).toMatchObject({
      title: 'New',
      description: '',
      status: 'todo',
      priority: 'high',
      tags: [],
      completedAt: null,
      version: 2,
    })
    expect(pointersOf(await mine.refused('PUT', `/api/tasks/${task.id}`, { status: 'done' }))).toEqual([
      '/title',
    ])
  })

  test('completedAt follows the status and stays while it stays', async () => {
    const task = await mine.task()
    const patch = async (body: unknown) =>
      (await mine.call<Task>('PATCH', `/api/tasks/${task.id}`, body)).body
    const done = await patch({ status: 'done' })
    expect(done.completedAt).not.toBeNull()
    expect((await patch({ title: 'Still done' })).completedAt).toBe(done.completedAt)
    expect((await patch({ status: 'cancelled' })).completedAt).toBeNull()
  })

  test('it can be overdue again after a new due time and after being reopened', async () => {
    const task = await mine.task()
    const revision = async (body: unknown): Promise<number> => {
      await mine.call('PATCH', `/api/tasks/${task.id}`, body)
      const [row] = await world.server.deps.db.read(
        (sql) => sql<{ rev: number }[]>`select due_rev as rev from tasks where id = ${task.id}`,
      )
      return row!.rev
    }
    expect(await revision({ dueAt: '2026-12-01T00:00:00Z' })).toBe(2)
    expect(await revision({ status: 'in_progress' })).toBe(2)
    expect(await revision({ status: 'done' })).toBe(2)
    expect(await revision({ status: 'cancelled' })).toBe(2)
    expect(await revision({ status: 'todo' })).toBe(3)
    expect(await revision({ dueAt: null })).toBe(4)
  })

  test('If-Match holds against changed fields, not against counters', async () => {
    const task = await mine.task()
    await world.server.deps.db.transact(
      (tx) => tx`update tasks set comment_count = 1, version = version + 1 where id = ${task.id}`,
    )
    const patch = (title: string, tag: string) =>
      mine.call<Task>('PATCH', `/api/tasks/${task.id}`, { title }, { 'If-Match': tag })
    expect((await patch('One', '"1"')).body.version).toBe(3)
    const { logged } = await watching(world, [inbox()], async () => {
      for (const tag of ['"1"', '"2"', 'W/"2"', '"9"']) {
        const stale = await mine.refused(
          'PATCH',
          `/api/tasks/${task.id}`,
          { title: 'Two' },
          { 'If-Match': tag },
        )
        expect([stale.status, stale.body.code, stale.body.currentVersion]).toEqual([
          412,
          'version_conflict',
          3,
        ])
      }
      const put = await mine.refused('PUT', `/api/tasks/${task.id}`, { title: 'Two' }, { 'If-Match': '"2"' })
      const gone = await mine.refused('DELETE', `/api/tasks/${task.id}`, undefined, { 'If-Match': '"2"' })
      expect([put.status, gone.status]).toEqual([412, 412])
      expect(
        (await mine.refused('DELETE', `/api/tasks/${task.id}`, undefined, { 'If-Match': 'x' })).status,
      ).toBe(412)
    })
    expect(logged).toEqual([])
    expect((await patch('Three', 'W/"3"')).status).toBe(200)
    expect((await patch('Four', '*')).status).toBe(200)
  })
})

describe('tags', () => {
  test('are added and removed singly, at most twenty', async () => {
    const task = await mine.task({ tags: ['a'] })
    const added = await mine.call<Task>('POST', `/api/tasks/${task.id}/tags`, { tags: ['B', 'a', 'c/d ü'] })
    expect([added.status, added.body.tags, added.body.version]).toEqual([200, ['a', 'b', 'c/d ü'], 2])
    const removed = await mine.call('DELETE', `/api/tasks/${task.id}/tags/${encodeURIComponent('C/D Ü')}`)
    expect([removed.status, removed.headers.get('tide-cursor')]).toEqual([204, expect.any(String)])
    expect((await mine.get(task.id)).tags).toEqual(['a', 'b'])
    expect((await mine.refused('DELETE', `/api/tasks/${task.id}/tags/zzz`)).status).toBe(404)
    const many = Array.from({ length: 19 }, (_, index) => `t${index}`)
    const full = await mine.refused('POST', `/api/tasks/${task.id}/tags`, { tags: many })
    expect([full.status, pointersOf(full)]).toEqual([422, ['/tags']])
    expect((await entriesOf(world, task)).map((entry) => entry.type)).toEqual([
      'task.created',
      'task.updated',
      'task.updated',
    ])
  })
})

describe('deleting', () => {
  test('is logged with the last version plus one and succeeds once', async () => {
    const task = await mine.task()
    await mine.call('PATCH', `/api/tasks/${task.id}`, { title: 'Two' })
    const { answer, logged } = await watching(world, [inbox()], () =>
      mine.call('DELETE', `/api/tasks/${task.id}`),
    )
    expect([answer.status, answer.body as string, logged]).toEqual([204, '', ['project task.deleted v3']])
    expect(answer.headers.get('tide-cursor')).toMatch(/^\w+\.\d+\.\d+$/)
    for (const method of ['DELETE', 'GET'])
      expect((await mine.refused(method, `/api/tasks/${task.id}`)).status).toBe(404)
    expect((await mine.refused('PATCH', `/api/tasks/${task.id}`, { title: 'x' })).status).toBe(404)
  })

  test('deletes the subtasks too, with an entry each', async () => {
    const root = await mine.task()
    const child = await mine.task({ parentId: root.id })
    const leaf = await mine.task({ parentId: child.id })
    const { logged } = await watching(world, [inbox()], () => mine.call('DELETE', `/api/tasks/${root.id}`))
    expect(logged).toEqual(Array(3).fill('project task.deleted v2'))
    for (const { id } of [root, child, leaf]) {
      const again = await mine.refused('POST', '/api/tasks', { id, title: 'Again' })
      expect([again.status, again.body.code]).toEqual([409, 'id_taken'])
    }
  })
})

describe('subtasks', () => {
  test('go three levels deep, in one project, without cycles', async () => {
    const root = await mine.task()
    const child = await mine.task({ parentId: root.id })
    const leaf = await mine.task({ parentId: child.id })
    const elsewhere = await mine.project()
    const foreign = await callsOf(world, bob).task()
    const parent = (task: Task, parentId: string | null) =>
      mine.refused('PATCH', `/api/tasks/${task.id}`, { parentId })
    const tall = await mine.task()
    await mine.task({ parentId: tall.id })
    const refused = await Promise.all([
      mine.refused('POST', '/api/tasks', { title: 'Too deep', parentId: leaf.id }),
      mine.refused('POST', '/api/tasks', { title: 'Elsewhere', parentId: root.id, projectId: elsewhere.id }),
      mine.refused('POST', '/api/tasks', { title: 'Unknown', parentId: Bun.randomUUIDv7() }),
      mine.refused('POST', '/api/tasks', { title: 'Foreign', parentId: foreign.id }),
      parent(root, root.id),
      parent(root, leaf.id),
      parent(tall, child.id),
      parent(root, foreign.id),
    ])
    for (const answer of refused) expect([answer.status, pointersOf(answer)]).toEqual([422, ['/parentId']])
    expect(refused[2].body.errors).toEqual(refused[3].body.errors)
    expect((await parent(tall, root.id)).status).toBe(200)
    expect((await mine.get(tall.id)).parentId).toBe(root.id)
    expect((await parent(tall, null)).status).toBe(200)
    expect(
      (await mine.call<Task>('PUT', `/api/tasks/${leaf.id}`, { title: 'Free' })).body.parentId,
    ).toBeNull()
  })
})
