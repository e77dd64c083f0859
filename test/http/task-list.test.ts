// Lists of tasks: every order and filter against a model, walked by cursor and by page; and what is refused.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import {
  array,
  assert,
  asyncProperty,
  boolean,
  constantFrom,
  integer,
  oneof,
  record,
  sample,
  string,
  subarray,
  tuple,
} from 'fast-check'
import { rankBetween } from '../../src/domain/tasks/rank.ts'
import { backfillTaskWords } from '../../src/domain/tasks/task-words.ts'
import { newId } from '../../src/model/scalar.ts'
import { newTaskDefaults } from '../../src/model/task-fields.ts'
import { priorities, statuses, type Task } from '../../src/model/task.ts'
import { expectedIds, type Known, type Query } from '../support/task-model.ts'
import { callsOf, pointersOf, type Calls } from '../support/tasks.ts'
import { startWorld, type Person, type World } from '../support/world.ts'

interface List {
  items: Task[]
  nextCursor: string | null
  page?: number
  total?: number
  totalPages?: number
}

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const titles = [
  'Write src/app.ts',
  'write',
  'and/or',
  'ada@example.com',
  'Über uns',
  'ÜBER',
  'v1.2.3',
  'foo_bar',
]
const moreTitles = [
  'Zebra',
  'zebra',
  'ähre',
  '😀 smile',
  '\u{ffee} wide',
  'שלום עולם',
  '%_\\',
  'réunion',
  'Straße',
  'Äpfel',
  'apfel',
  'İstanbul',
  '今日は天気がいい',
  '🚀 launch',
  "O'Neil",
  'a',
  'B',
  'b',
]
const days = ['2026-11-01', '2026-11-02', '2027-05-01']
const instants = days.flatMap((day) => [`${day}T00:00:00.000Z`, `${day}T00:00:00.001Z`])
const tags = ['docs', 'ui', 'äpfel', 'a b', '"q", {x}', "o'x\\"]

let world: World
let ada: Person
let bob: Person
let mine: Calls
let known: Known[]
let projects: { own: string; team: string; old: string; foreign: string }

const textual = (query: Query): string =>
  new URLSearchParams(
    Object.entries(query).flatMap(([name, value]) =>
      [value].flat().map((one): [string, string] => [name, one]),
    ),
  ).toString()

const list = (query: Query) => mine.call<List>('GET', `/api/tasks?${textual(query)}`)

/** Puts tasks there as rows, so that times and ranks repeat. */
const plant = async (count: number): Promise<void> => {
  const { own, team, old, foreign } = projects
  const shape = record({
    projectId: constantFrom(own, own, team, team, old, foreign, foreign),
    title: constantFrom(...titles, ...moreTitles),
    description: constantFrom('', 'lorem ipsum', 'see docs/guide.md'),
    status: constantFrom(...statuses),
    priority: constantFrom(...priorities),
    assigneeId: constantFrom(null, ada.id, bob.id),
    creatorId: constantFrom(ada.id, bob.id),
    dueAt: constantFrom(null, null, ...instants),
    tags: subarray(tags),
    createdAt: constantFrom(...instants),
    updatedAt: constantFrom(...instants),
    rank: constantFrom(...Array.from({ length: 9 }, () => rankBetween(null, null))),
    isShared: boolean(),
    hasParent: boolean(),
  })
  const parents = new Map<string, string>()
  for (const { isShared, hasParent, ...fields } of sample(shape, { numRuns: count, seed })) {
    const { projectId } = fields
    const parentId = (hasParent && parents.get(projectId)) || null
    const task: Task = {
      ...newTaskDefaults,
      id: newId(),
      parentId,
      ...fields,
      completedAt: fields.status === 'done' ? fields.updatedAt : null,
      commentCount: 0,
      attachmentCount: 0,
      version: 1,
    }
    if (parentId === null) parents.set(projectId, task.id)
    await world.server.deps.db.transact(async (tx) => {
      await tx`
        insert into tasks (id, project_id, parent_id, title, description, status, priority, assignee_id, creator_id,
          due_at, tags, rank, completed_at, created_at, updated_at)
        values (${task.id}, ${projectId}, ${parentId}, ${task.title}, ${task.description}, ${task.status},
          ${task.priority}, ${task.assigneeId}, ${task.creatorId}, ${task.dueAt}, ${task.tags}, ${task.rank},
          ${task.completedAt}, ${task.createdAt}, ${task.updatedAt})`
      if (isShared)
        await tx`insert into shares (task_id, user_id, permission) values (${task.id}, ${ada.id}, 'view')`
    })
    known.push({ task, isShared, isMember: projectId !== foreign, isArchived: projectId === old })
  }
  await world.server.deps.db.transact((tx) => backfillTaskWords(tx, count))
}

beforeAll(async () => {
  world = await startWorld()
  ;({ Ada: ada, Bob: bob } = await world.people('Ada', 'Bob'))
  mine = callsOf(world, ada)
  known = []
  const theirs = callsOf(world, bob)
  const [team, foreign, old] = [
    await theirs.project({ viewer: ada }),
    await theirs.project(),
    await mine.project(),
  ]
  projects = { own: ada.inboxId, team: team.id, old: old.id, foreign: foreign.id }
  await plant(160)
  await mine.call('POST', `/api/projects/${old.id}/archive`)
})

afterAll(() => world[Symbol.asyncDispose]())

const instant = () => constantFrom(...instants, '2026-11-02T01:00:00+01:00', '2026-11-02T00:00:00.0005Z')
const some = (values: readonly string[]) =>
  subarray([...values], { minLength: 1 }).map((chosen) => chosen.join(','))
const flag = () => constantFrom('true', 'false')
const sorts = ['createdAt', 'updatedAt', 'dueAt', 'priority', 'title', 'status', 'rank'].flatMap((by) => [
  by,
  `-${by}`,
])

const filters = () => ({
  projectId: constantFrom(projects.own, projects.team, projects.old),
  parentId: constantFrom(known[0]!.task.id, known.find(({ task }) => task.parentId)!.task.parentId!),
  status: some(statuses),
  priority: some(priorities),
  assigneeId: constantFrom('me', 'none', bob.id),
  creatorId: constantFrom(ada.id, bob.id),
  tag: subarray(['docs', ' UI ', 'apfel', 'a b', '"q", {x}', "O'X\\"], { minLength: 1 }),
  completed: flag(),
  overdue: flag(),
  shared: flag(),
  search: constantFrom(
    'app',
    'wri',
    'or',
    'exam ADA',
    'üb',
    'foo bar',
    'bar_',
    'lor ips',
    "o'n",
    'שלו',
    '2.3',
    'docs',
    'reunion',
    'STRASSE',
    'apfel',
    'istanbul',
    'ISTANBUL',
    '天気',
    '🚀',
    'a b c d e f g h i',
    'zz',
  ),
  createdAfter: instant(),
  createdBefore: instant(),
  updatedAfter: instant(),
  updatedBefore: instant(),
  dueAfter: instant(),
  dueBefore: instant(),
})

/** Follows the cursors to the end. */
const walk = async (query: Query, limit: number): Promise<string[]> => {
  const ids: string[] = []
  for (let cursor: string | null = ''; cursor !== null;) {
    const { status, body, headers }: Awaited<ReturnType<typeof list>> = await list({
      ...query,
      limit: String(limit),
      ...(cursor !== '' && { cursor }),
    })
    expect([status, body.items?.length <= limit]).toEqual([200, true])
    ids.push(...body.items.map((task) => task.id))
    cursor = body.nextCursor
    const link = /^<(.+)>; rel="next"$/.exec(headers.get('link') ?? '')?.[1]
    expect(link ? new URL(link, world.url).searchParams.get('cursor') : null).toBe(cursor)
  }
  return ids
}

const walkPages = async (query: Query, limit: number, total: number): Promise<string[]> => {
  const ids: string[] = []
  let followed: List | null = null
  for (let page = 1; ; page += 1) {
    const { body, headers } = await list({ ...query, limit: String(limit), page: String(page) })
    const totalPages = Math.ceil(total / limit)
    const hasMore = page < totalPages
    const cursor = body.nextCursor
    expect(body).toMatchObject({ page, total, totalPages })
    expect([headers.get('link') !== null, cursor !== null]).toEqual([hasMore, hasMore])
    if (followed) expect(body.items).toEqual(followed.items)
    ids.push(...body.items.map((task) => task.id))
    if (!hasMore) return ids
    // The cursor of a numbered page leads to the items of the next one.
    const isFollowed = page === 1 || page === totalPages - 1
    const onward: Query = { ...query, limit: String(limit), cursor: cursor! }
    followed = isFollowed ? (await list(onward)).body : null
  }
}

describe(`against the model, SEED=${seed}`, () => {
  test.each(sorts)('sort=%s, whole, of one project and of all', async (sort) => {
    for (const query of [{ sort }, { sort, projectId: projects.team }]) {
      const expected = expectedIds(known, query, ada.id)
      expect(expected.length).toBeGreaterThan(10)
      expect(await walk(query, 100)).toEqual(expected)
      expect(await walk(query, 7)).toEqual(expected)
      expect(await walkPages(query, 9, expected.length)).toEqual(expected)
    }
  })

  test('filters, orders and pages in any combination', async () => {
    const all = filters()
    const names = Object.keys(all)
    const anyQuery = record({
      chosen: array(constantFrom(...names), { maxLength: 3 }),
      values: record(all),
      sort: constantFrom(...sorts),
      limit: integer({ min: 1, max: 40 }),
    })
    let foundSome = 0
    await assert(
      asyncProperty(anyQuery, async ({ chosen, values, sort, limit }) => {
        const given = Object.entries(values).filter(([name]) => chosen.includes(name))
        const query: Query = { ...Object.fromEntries(given), sort }
        const expected = expectedIds(known, query, ada.id)
        foundSome += Number(expected.length > 0)
        expect(await walk(query, limit)).toEqual(expected)
        expect(await walkPages(query, limit, expected.length)).toEqual(expected)
      }),
      { numRuns: 150, seed },
    )
    expect(foundSome).toBeGreaterThan(75)
  }, 60_000)

  test('every single filter alone', async () => {
    for (const [name, values] of Object.entries(filters())) {
      for (const value of sample<string | string[]>(values, { numRuns: 6, seed })) {
        const query = { [name]: value }
        expect({ query, ids: await walk(query, 50) }).toEqual({
          query,
          ids: expectedIds(known, query, ada.id),
        })
      }
    }
  })
})

describe('search', () => {
  test('finds every word as a prefix, wherever punctuation cuts it, and nothing by pattern', async () => {
    const cleo = callsOf(world, await world.register('Cleo'))
    const list = (query: Query) => cleo.call<List>('GET', `/api/tasks?${textual(query)}`)
    const task = await cleo.task({
      title: 'Fix quux/glorp.ts for x@zyzzyva.org',
      tags: ['kebab-case'],
      description: 'Ärger',
    })
    for (const search of [
      'quu',
      'GLORP.ts',
      'zyzz',
      'fix zyzz',
      'case',
      'ärg',
      'x@zyz',
      "quux' | 'nothing'",
      'quux & !fix',
    ])
      expect([search, (await list({ search })).body.items.map(({ id }) => id)]).toEqual([
        search,
        search.includes('nothing') ? [] : [task.id],
      ])
    for (const search of ['%', '_', '\\', "'", ':*', '! & |', '—', '\u200b', ' ']) {
      const answer = await mine.refused('GET', `/api/tasks?${textual({ search })}`)
      expect([search, answer.status, pointersOf(answer)]).toEqual([search, 422, ['/search']])
    }
    for (const search of ['x'.repeat(10_000), 'a\0b'])
      expect((await mine.refused('GET', `/api/tasks?${textual({ search })}`)).status).toBe(422)
  })
})

describe('what a list refuses', () => {
  test('unknown parameters, values outside the closed sets, numbers that are none', async () => {
    const wrong: [string, number][] = [
      ['foo=1', 400],
      ['Status=todo', 400],
      ['sort=id;drop', 422],
      ['sort=createdAt,title', 422],
      ['sort=title&sort=rank', 422],
      ["status=todo'", 422],
      ['status=todo,', 422],
      ['priority=high,HIGH', 422],
      ['limit=0', 422],
      ['limit=1e9', 422],
      ['limit=101', 422],
      ['limit=0x10', 422],
      ['page=0', 422],
      ['page=101&limit=100', 422],
      ['page=99999999999999999999', 422],
      ['projectId=x', 422],
      ["creatorId=' or 1=1--", 422],
      ['assigneeId=no-id', 422],
      ['completed=1', 422],
      ['createdAfter=2026-02-30T00:00:00Z', 422],
      ['dueBefore=yesterday', 422],
      ['tag=', 422],
      ['cursor=x', 400],
      ['cursor=', 400],
    ]
    for (const [query, status] of wrong) {
      const answer = await mine.refused('GET', `/api/tasks?${encodeURI(query)}`)
      expect([query, answer.status]).toEqual([query, status])
    }
  })

  test('cursors that were made up, changed, or made for another query', async () => {
    const { body } = await list({ sort: 'title', limit: '5' })
    const cursor = body.nextCursor!
    const [payload, mac] = cursor.split('.') as [string, string]
    const forged = Buffer.from(JSON.stringify(['zzz', newId()])).toString('base64url')
    const foreign: Query[] = [
      { sort: 'title', cursor: `${forged}.${mac}` },
      { sort: 'title', cursor: payload },
      { sort: 'title', cursor: `${payload}.` },
      { sort: 'title', cursor: `${cursor.slice(0, -2)}AA` },
      { sort: '-title', cursor },
      { cursor },
      { sort: 'title', status: 'todo', cursor },
      { sort: 'title', projectId: projects.own, cursor },
    ]
    for (const query of foreign) {
      const answer = await mine.refused('GET', `/api/tasks?${textual(query)}`)
      expect([answer.status, answer.body.code]).toEqual([400, 'bad_cursor'])
    }
    expect((await list({ sort: 'title', limit: '9', cursor })).status).toBe(200)
    expect((await list({ sort: 'title', page: '1', cursor })).status).toBe(422)
  })

  test('a cursor with any one character changed, and one with text added', async () => {
    const query = { sort: 'title', limit: '5' }
    const cursor = (await list(query)).body.nextCursor!
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    const withCharacter = (at: number, one: string) => cursor.slice(0, at) + one + cursor.slice(at + 1)
    const codeOf = async (changed: string) =>
      (await mine.refused('GET', `/api/tasks?${textual({ ...query, cursor: changed })}`)).body.code
    // The last character has unused bits: all 63 others are tried, not only some.
    for (const one of alphabet.replace(cursor.at(-1)!, ''))
      expect([one, await codeOf(withCharacter(cursor.length - 1, one))]).toEqual([one, 'bad_cursor'])
    const anywhere = integer({ min: 0, max: cursor.length - 1 })
    const changedOnce = tuple(anywhere, constantFrom(...Array.from(alphabet), '.', '=', '+', '/', ' '))
      .filter(([at, one]) => cursor[at] !== one)
      .map(([at, one]) => withCharacter(at, one))
    const withMore = tuple(
      constantFrom('', '.', '..', '.x.'),
      string({ unit: 'grapheme-ascii', maxLength: 8 }),
    )
      .map((pieces) => pieces.join(''))
      .filter((text) => text !== '')
      .map((text) => cursor + text)
    await assert(
      asyncProperty(oneof(changedOnce, withMore), async (changed) => {
        expect(await codeOf(changed)).toBe('bad_cursor')
      }),
      { seed, numRuns: 150, examples: [[`${cursor}.x`], [`${cursor}.`], [`${cursor}=`]] },
    )
  })

  test('a project one may not read, shared task or not', async () => {
    for (const projectId of [projects.foreign, newId()]) {
      const answer = await mine.refused('GET', `/api/tasks?projectId=${projectId}`)
      expect([answer.status, answer.body.code]).toEqual([404, 'not_found'])
    }
    const admin = callsOf(world, await world.registerAdmin())
    const named = await admin.call<List>('GET', `/api/tasks?projectId=${projects.foreign}&limit=100`)
    expect(named.body.items.length).toBe(
      known.filter(({ task }) => task.projectId === projects.foreign).length,
    )
    expect((await admin.call<List>('GET', '/api/tasks')).body.items).toEqual([])
  })
})

test('a list has a tag: unchanged it is 304, changed it is not', async () => {
  const dora = callsOf(world, await world.register('Dora'))
  const task = await dora.task()
  const path = '/api/tasks?sort=rank'
  const tag = (await dora.call('GET', path)).headers.get('etag')!
  expect((await dora.call('GET', path, undefined, { 'If-None-Match': tag })).status).toBe(304)
  await dora.call('PATCH', `/api/tasks/${task.id}`, { title: 'Another' })
  expect((await dora.call('GET', path, undefined, { 'If-None-Match': tag })).status).toBe(200)
})

test('a list by due time and a numbered page are of one moment', async () => {
  const dora = callsOf(world, await world.register('Dora'))
  const tasks = [await dora.task({ dueAt: instants[0] }), await dora.task(), await dora.task()]
  const [first] = tasks
  const done = new AbortController()
  /** Gives the first task a due time and takes it away; adds a task and deletes it. */
  const change = async (): Promise<void> => {
    while (!done.signal.aborted) {
      for (const dueAt of [null, instants[1]]) await dora.call('PATCH', `/api/tasks/${first!.id}`, { dueAt })
      const { id } = await dora.task()
      await dora.call('DELETE', `/api/tasks/${id}`)
    }
  }
  const changing = change()
  try {
    for (let round = 0; round < 30; round += 1) {
      for (const sort of ['dueAt', '-dueAt']) {
        const { body } = await dora.call<List>('GET', `/api/tasks?sort=${sort}&limit=100`)
        const own = body.items.filter(({ id }) => tasks.some((task) => task.id === id))
        expect(own.map(({ id }) => id).toSorted()).toEqual(tasks.map(({ id }) => id))
      }
      const { body } = await dora.call<List>('GET', '/api/tasks?page=1&limit=100')
      expect(body.total).toBe(body.items.length)
    }
  } finally {
    done.abort()
    await changing
  }
}, 60_000)
