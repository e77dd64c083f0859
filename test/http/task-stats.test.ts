// GET /api/tasks/stats: the numbers of every kind of change, whose they are, and how they are kept. Without a worker all
// entries are uncounted, with one all are counted: both must answer the same.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { Project } from '../../src/model/project.ts'
import type { TaskStatistics } from '../../src/model/statistics.ts'
import { openWorker } from '../worker/rig.ts'
import { eventually } from '../support/eventually.ts'
import { callsOf, type Calls } from '../support/tasks.ts'
import { startWorld, type Person, type World } from '../support/world.ts'

let world: World
let owner: Person
let calls: Calls

beforeAll(async () => {
  world = await startWorld()
  owner = await world.register('Owner')
  calls = callsOf(world, owner)
})

afterAll(() => world[Symbol.asyncDispose]())

const statsOf = async (as: Calls, projectId?: string): Promise<TaskStatistics> => {
  const query = projectId === undefined ? '' : `?projectId=${projectId}`
  const { status, body } = await as.call<TaskStatistics>('GET', `/api/tasks/stats${query}`)
  expect(status).toBe(200)
  return body
}

/** Every entry has been counted. */
const counted = (): Promise<void> =>
  eventually(
    async () => {
      const late = await world.server.deps.db.read(
        (sql) => sql`
          select from consumer_cursor c join feed_head h using (shard) where c.consumer = 'stats' and c.seq < h.seq`,
      )
      expect(late.length).toBe(0)
    },
    { timeoutMs: 15_000 },
  )

const today = (timeZone: string): string => new Intl.DateTimeFormat('sv-SE', { timeZone }).format(Date.now())

const empty = {
  total: 0,
  byStatus: { todo: 0, in_progress: 0, done: 0, cancelled: 0 },
  byPriority: { low: 0, medium: 0, high: 0, urgent: 0 },
  byTag: [],
  overdue: 0,
  completionRate: 0,
}

const completed = ({ completedPerDay }: TaskStatistics): number =>
  completedPerDay.reduce((sum, { count }) => sum + count, 0)

/** The scenario of every kind of change, and what must come out of it. */
const playAll = async (project: Project, other: Project): Promise<void> => {
  const past = new Date(Date.now() - 60_000).toISOString()
  const make = (fields: object) => calls.task({ projectId: project.id, ...fields })
  const [plain] = await Promise.all([
    make({ tags: ['a', 'b'] }),
    make({ status: 'done', priority: 'high', tags: ['a'] }),
    make({ status: 'done', dueAt: past }),
    make({ status: 'in_progress', dueAt: past, priority: 'urgent' }),
    make({ status: 'cancelled', dueAt: past }),
  ])
  await calls.call('PATCH', `/api/tasks/${plain.id}`, { status: 'done' })
  await calls.call('PATCH', `/api/tasks/${plain.id}`, { status: 'todo', priority: 'low', dueAt: past })
  await calls.call('POST', `/api/tasks/${plain.id}/tags`, { tags: ['c'] })
  await calls.call('DELETE', `/api/tasks/${plain.id}/tags/b`)
  const reopened = await make({ status: 'done' })
  await calls.call('PUT', `/api/tasks/${reopened.id}`, { title: 'Open again', tags: ['d'] })
  const parent = await make({ tags: ['gone'], status: 'done' })
  await make({ parentId: parent.id, tags: ['gone'], status: 'done' })
  await calls.call('DELETE', `/api/tasks/${parent.id}`)
  const moved = await make({ tags: ['moved'], status: 'done' })
  await make({ parentId: moved.id, tags: ['moved'], priority: 'urgent' })
  await calls.call('POST', `/api/tasks/${moved.id}/move`, { projectId: other.id })
  const bulk = await Promise.all([make({}), make({})])
  await calls.call('PATCH', '/api/tasks/bulk', {
    ids: bulk.map(({ id }) => id),
    changes: { status: 'done', tags: ['bulk'] },
  })
  const { status } = await calls.call('POST', '/api/tasks/batch', {
    operations: [
      { op: 'create', data: { projectId: project.id, title: 'In a batch', tags: ['batch'] } },
      { op: 'update', id: bulk[0].id, data: { priority: 'high' } },
      { op: 'delete', id: bulk[1].id },
    ],
  })
  expect(status).toBe(200)
}

const expected = {
  total: 8,
  byStatus: { todo: 3, in_progress: 1, done: 3, cancelled: 1 },
  byPriority: { low: 1, medium: 4, high: 2, urgent: 1 },
  byTag: [
    { tag: 'a', count: 2 },
    { tag: 'batch', count: 1 },
    { tag: 'bulk', count: 1 },
    { tag: 'c', count: 1 },
    { tag: 'd', count: 1 },
  ],
  overdue: 2,
  completionRate: 3 / 7,
}

describe('the numbers', () => {
  test('of a project without tasks are zeros, one for each word and each of 30 days', async () => {
    const project = await calls.project()
    const { completedPerDay, asOf, ...rest } = await statsOf(calls, project.id)
    expect(rest).toEqual(empty)
    expect(completedPerDay.length).toBe(30)
    expect(completedPerDay.at(-1)).toEqual({ date: today('UTC'), count: 0 })
    const from = new Date(Date.parse(`${today('UTC')}T00:00:00Z`) - 29 * 86_400_000).toISOString()
    expect(completedPerDay[0]).toEqual({ date: from.slice(0, 10), count: 0 })
    expect(Math.abs(Date.parse(asOf) - Date.now())).toBeLessThan(5_000)
  })

  test('follow every kind of change before and after the worker has counted them', async () => {
    const [project, other] = [await calls.project(), await calls.project()]
    await playAll(project, other)
    const uncounted = await statsOf(calls, project.id)
    expect(uncounted).toMatchObject(expected)
    expect(uncounted.completedPerDay.at(-1)).toEqual({ date: today('UTC'), count: 3 })
    expect(completed(uncounted)).toBe(3)
    const elsewhere = await statsOf(calls, other.id)
    expect(elsewhere).toMatchObject({
      total: 2,
      byStatus: { ...empty.byStatus, done: 1, todo: 1 },
      byTag: [{ tag: 'moved', count: 2 }],
    })
    await using _worker = await openWorker({ ...world, overdueIntervalMs: 60_000 })
    await counted()
    // Another query, so that no kept answer is sent.
    for (const [projectId, before] of [
      [project.id, uncounted],
      [other.id, elsewhere],
    ] as const) {
      const { asOf: _, ...numbers } = await statsOf(calls, projectId.toUpperCase())
      const { asOf: _before, ...numbersBefore } = before
      expect(numbers).toEqual(numbersBefore)
    }
    await playAll(project, other) // on top of counters
    const more = await statsOf(calls, project.id)
    expect(more).toMatchObject({ total: 16, overdue: 4, completionRate: 6 / 14 })
  }, 60_000)

  test('list the 50 most frequent tags, equal ones by their text', async () => {
    const project = await calls.project()
    const tags = Array.from({ length: 60 }, (_, n) => `t${String(n).padStart(2, '0')}`)
    for (let n = 0; n < 60; n += 20) await calls.task({ projectId: project.id, tags: tags.slice(n, n + 20) })
    await calls.task({ projectId: project.id, tags: ['t59'] })
    const { byTag } = await statsOf(calls, project.id)
    expect(byTag.length).toBe(50)
    expect(byTag[0]).toEqual({ tag: 't59', count: 2 })
    expect(byTag.slice(1).map(({ tag }) => tag)).toEqual(tags.slice(0, 49))
  })

  test('without a project are the sum over own projects that are not archived and over single shares', async () => {
    const reader = await world.register('Reader')
    const as = callsOf(world, reader)
    const [joined, archived, foreign] = await Promise.all([
      calls.project({ viewer: reader }),
      calls.project({ viewer: reader }),
      calls.project(),
    ])
    await as.task({ tags: ['inbox'], status: 'done' })
    await calls.task({ projectId: joined.id, tags: ['joined'], priority: 'low' })
    await calls.task({ projectId: archived.id, tags: ['archived'] })
    await calls.task({ projectId: foreign.id, tags: ['foreign'] })
    const past = new Date(Date.now() - 1_000).toISOString()
    const single = await calls.task({ projectId: foreign.id, tags: ['single'], dueAt: past })
    await calls.share(single, reader, 'view')
    await calls.call('POST', `/api/projects/${archived.id}/archive`)
    const own = await statsOf(as)
    expect(own).toMatchObject({
      total: 3,
      byStatus: { todo: 2, in_progress: 0, done: 1, cancelled: 0 },
      byPriority: { low: 1, medium: 2, high: 0, urgent: 0 },
      byTag: ['inbox', 'joined', 'single'].map((tag) => ({ tag, count: 1 })),
      overdue: 1,
      completionRate: 1 / 3,
    })
    expect((await as.call('GET', '/api/tasks?page=1')).body).toMatchObject({ total: 3 })
    expect(await statsOf(as, archived.id)).toMatchObject({ total: 1 })
  })

  test('are of the rows where more entries are uncounted than are read', async () => {
    const project = await calls.project()
    await calls.task({ projectId: project.id, tags: ['x'], status: 'done' })
    await world.server.deps.db.transact(async (tx) => {
      await tx`
        insert into feed (shard, seq, at, scope, type, version, changes)
        select shard, seq + n, now(), 'project:' || ${project.id}::text, 'task.updated', 1,
          '{"status":{"from":"todo","to":"todo"}}'
        from feed_head cross join generate_series(1, 10001) n
        where shard = (select shard from feed where scope = 'project:' || ${project.id}::text limit 1)`
      await tx`
        update feed_head set seq = seq + 10001
        where shard = (select shard from feed where scope = 'project:' || ${project.id}::text limit 1)`
      await tx`
        update scope_head set seq = seq + 10001 where scope = 'project:' || ${project.id}::text`
    })
    const { byTag, total, completedPerDay } = await statsOf(calls, project.id)
    expect({ byTag, total, done: completedPerDay.at(-1)!.count }).toEqual({
      byTag: [{ tag: 'x', count: 1 }],
      total: 1,
      done: 1,
    })
  }, 20_000)
})

describe('access', () => {
  test('a stranger gets the 404 of a random id, a member and an admin the numbers', async () => {
    const [viewer, stranger] = [await world.register(), await world.register()]
    const admin = await world.registerAdmin()
    const project = await calls.project({ viewer })
    await calls.task({ projectId: project.id })
    expect(await statsOf(callsOf(world, viewer), project.id)).toMatchObject({ total: 1 })
    expect(await statsOf(callsOf(world, admin), project.id)).toMatchObject({ total: 1 })
    expect((await statsOf(callsOf(world, admin))).total).toBe(0)
    for (const id of [project.id, Bun.randomUUIDv7()])
      expect(
        (await callsOf(world, stranger).refused('GET', `/api/tasks/stats?projectId=${id}`)).body,
      ).toMatchObject({
        status: 404,
        code: 'not_found',
      })
  })

  test('bad parameters are refused', async () => {
    expect((await calls.refused('GET', '/api/tasks/stats?projectId=x')).body).toMatchObject({ status: 422 })
    expect((await calls.refused('GET', '/api/tasks/stats?project=x')).body).toMatchObject({
      status: 400,
      code: 'unknown_parameter',
    })
    expect((await world.call('GET', '/api/tasks/stats')).status).toBe(401)
  })
})

describe('keeping', () => {
  const built = () => world.server.deps.kept.counts.built

  test('an answer is sent again with the present time until something changes', async () => {
    const project = await calls.project()
    await calls.task({ projectId: project.id })
    const url = `/api/tasks/stats?projectId=${project.id}`
    const first = await calls.call<TaskStatistics>('GET', url)
    const before = built()
    const second = await calls.call<TaskStatistics>('GET', url)
    expect(built()).toBe(before)
    expect(second.body.asOf > first.body.asOf).toBe(true)
    expect({ ...second.body, asOf: '' }).toEqual({ ...first.body, asOf: '' })
    const etag = first.headers.get('etag')!
    expect(second.headers.get('etag')).toBe(etag)
    expect((await calls.call('GET', url, undefined, { 'If-None-Match': etag })).status).toBe(304)
    await calls.task({ projectId: project.id })
    const third = await calls.call<TaskStatistics>('GET', url, undefined, { 'If-None-Match': etag })
    expect(third.body.total).toBe(2)
    await world.ask(owner, 'PATCH', '/api/users/me', { timeZone: 'Pacific/Kiritimati' })
    const fourth = await calls.call<TaskStatistics>('GET', url)
    expect(fourth.body.completedPerDay.at(-1)!.date).toBe(today('Pacific/Kiritimati'))
    await world.ask(owner, 'PATCH', '/api/users/me', { timeZone: 'UTC' })
  })

  test('an answer ends when a task falls due', async () => {
    const project = await calls.project()
    const dueAt = new Date(Date.now() + 1_500).toISOString()
    await calls.task({ projectId: project.id, dueAt })
    await eventually(async () => {
      const { overdue, asOf } = await statsOf(calls, project.id)
      expect(asOf > dueAt).toBe(overdue === 1)
      expect(overdue).toBe(1)
    })
  })
})
