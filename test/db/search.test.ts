// Searches find what a naive filter finds, whichever words are taken for common, and their cost follows the rarest word.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Database } from '../../src/db/client.ts'
import { textCondition } from '../../src/db/tasks/search-condition.ts'
import { selectTaskPage, sortKeyOf, type ListedTask, type TaskFilter } from '../../src/db/tasks/task-list.ts'
import { taskSorts, type TaskOrder } from '../../src/db/tasks/task-sorts.ts'
import { wordColumns } from '../../src/db/tasks/task-words.ts'
import { WordFrequencies, type Terms } from '../../src/db/tasks/word-frequencies.ts'
import type { SortKey } from '../../src/model/page.ts'
import { newId } from '../../src/model/scalar.ts'
import { priorities, statuses } from '../../src/model/task.ts'
import { fold, tagKey, titleKey, wordsOf } from '../../src/model/text-form.ts'
import { openTestDatabase, planOptions, type OpenedDatabase } from '../support/database.ts'

const many = 15_000
const few = 2_000

let database: OpenedDatabase
let db: Database
const me = newId()
/** Each task has `item`, `of`, `the`, `list` and its number, every hundredth `seldom`. */
const large = newId()
/** Words by chance, the first of the vocabulary in most tasks. */
const mixed = [newId(), newId()]
const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
let state = seed
const random = (): number => {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
  return state / 2 ** 32
}
const below = (count: number): number => Math.floor(random() * count)
const pick = <T>(list: readonly T[]): T => list[below(list.length)]!

const vocabulary = [
  'plan',
  'Straße',
  'plane',
  'été',
  'planet',
  '天気',
  '1234',
  '12',
  "it's",
  'ﬁne',
  'rare',
  'Ünique',
]
/** Of a falling frequency: nearly every task has the first, one of some hundred the last. */
const chance = (rank: number): boolean => random() < 0.95 / (1 + rank) ** 2
const tagsAvailable = ['ops', 'Ops 2', 'Straße', 'last']

interface Made {
  id: string
  projectId: string
  title: string
  description: string
  tags: string[]
  createdAt: string
}
const made: Made[] = []

beforeAll(async () => {
  database = await openTestDatabase(planOptions())
  db = database.db
  for (let n = 0; n < few; n += 1) {
    const words = vocabulary.filter((_, rank) => chance(rank))
    made.push({
      id: newId(),
      projectId: n < 1_600 ? mixed[0]! : mixed[1]!,
      title: `${words.slice(0, 2).join(' ')} t${n % 50}`,
      description: words.slice(2).join(' / '),
      tags: tagsAvailable.filter((_, rank) => chance(rank)),
      createdAt: new Date(Date.UTC(2026, 0, 1) + below(3_000) * 1_000).toISOString(),
    })
  }
  await db.transact(
    async (tx) => {
      await tx`insert into users (id, email, name, password_hash) values (${me}, 'me@example.com', 'Me', 'none')`
      await tx`insert into projects (id, name) select id, 'Project' from unnest(${[large, ...mixed]}::uuid[]) as id`
      await tx`insert into members (project_id, user_id, role) select id, ${me}, 'owner' from unnest(${[large, ...mixed]}::uuid[]) as id`
      await tx`
        insert into tasks (id, project_id, title, title_key, tags, words, words_version, rank, created_at)
        select gen_random_uuid(), ${large}, 'Item ' || n, 'item ' || n, array['t' || n % 3],
          array_to_tsvector(array(
            select distinct right(${large}::text, 8) || w from unnest(
              array['item', 'of', 'the', 'list', n::text, '#t' || n % 3] || case when n % 100 = 0 then array['seldom'] else '{}' end) w)),
          1, 'b' || lpad(n::text, 9, '0'), now() - n * interval '1 second'
        from generate_series(1, ${many}::int) n`
      const rows = made.map((task, n) => {
        const { title_key, words } = wordColumns(task)
        return {
          ...task,
          title_key,
          words,
          priority: priorities[n % 4],
          status: statuses[n % 4],
          due: n % 3 === 0 ? task.createdAt : null,
        }
      })
      await tx`
        insert into tasks (id, project_id, title, description, title_key, tags, words, words_version, rank, priority,
          status, completed_at, due_at, created_at)
        select id, "projectId", title, description, title_key, tags, array_to_tsvector(words), 1, 'c' || id, priority,
          status, case when status = 'done' then now() end, due, "createdAt"
        from json_to_recordset(${JSON.stringify(rows)}::text::json) as i (id uuid, "projectId" uuid, title text,
          description text, title_key text, tags text[], words text[], priority text, status text, due timestamptz,
          "createdAt" timestamptz)`
    },
    { deadlineMs: 60_000 },
  )
  await db.read((sql) => sql`vacuum analyze tasks`, { deadlineMs: 60_000 })
}, 120_000)

afterAll(() => database[Symbol.asyncDispose]())

const matches = (task: Made, { words = [], tags = [] }: Terms): boolean => {
  const own = new Set([task.title, task.description, ...task.tags].flatMap(wordsOf))
  const keys = new Set(task.tags.map(tagKey))
  return (
    words.every((word) => [...own].some((one) => one.startsWith(word))) &&
    tags.every((tag) => keys.has(tagKey(tag)))
  )
}

/** Every page of a search, one after another. */
const pagesOf = async (filter: TaskFilter, order: TaskOrder, limit: number): Promise<ListedTask[]> => {
  const found: ListedTask[] = []
  let after: SortKey | null = null
  for (;;) {
    const slice = { limit, after, page: null }
    const rows = await db.read((sql) => selectTaskPage(sql, me, filter, order, slice), { deadlineMs: 30_000 })
    found.push(...rows.slice(0, limit))
    if (rows.length <= limit) return found
    after = sortKeyOf(rows[limit - 1]!)
  }
}

test('a search finds what a naive filter finds, in every order, whichever words are taken for common', async () => {
  for (let round = 0; round < 40; round += 1) {
    const words = [
      ...new Set(Array.from({ length: 1 + below(3) }, () => fold(pick(vocabulary)).slice(0, 1 + below(6)))),
    ]
    const terms: Terms = {
      ...(round % 4 !== 0 && { words: words.flatMap(wordsOf) }),
      ...(round % 4 === 0 || random() < 0.3 ? { tags: [pick(tagsAvailable)] } : {}),
    }
    if ((terms.words ?? terms.tags)!.length === 0) continue
    const common: Terms = {
      words: terms.words?.filter(() => random() < 0.6),
      tags: terms.tags?.filter(() => random() < 0.6),
    }
    const projectId = round % 3 === 0 ? undefined : mixed[round % 2]
    const order = { by: pick(taskSorts), descending: random() < 0.5 }
    const filter: TaskFilter = {
      ...terms,
      common,
      ...(projectId !== undefined && { projectId }),
    } as TaskFilter
    // Tasks of the large project have none of these words but the numbers.
    const expected = made.filter(
      (task) => (projectId === undefined || task.projectId === projectId) && matches(task, terms),
    )
    const found = (await pagesOf(filter, order, 1_000 + below(2_000))).filter(
      (task) => task.projectId !== large,
    )
    const context = { seed, round, terms, common, order, projectId }
    expect({ ...context, ids: found.map(({ id }) => id).toSorted() }).toEqual({
      ...context,
      ids: expected.map(({ id }) => id).toSorted(),
    })
    const key = (task: ListedTask): string => JSON.stringify([task.sortKey, task.id])
    const { common: _common, ...plain } = filter
    const [first, second] = [found.slice(0, 50), await firstPage(plain, order)]
    if (projectId !== undefined) expect([context, first.map(key)]).toEqual([context, second.map(key)])
  }
}, 120_000)

const firstPage = (filter: TaskFilter, order: TaskOrder): Promise<ListedTask[]> =>
  db.read(async (sql) => {
    const rows = await selectTaskPage(sql, me, filter, order, { limit: 50, after: null, page: null })
    return rows.slice(0, 50)
  })

test('folded titles are ordered the same', () => expect(titleKey('Straße')).toBe('strasse'))

test('words that most tasks of a project have are known as common, and rare ones are not', async () => {
  const common = (terms: Terms, project: string | null) =>
    db.read((sql) => new WordFrequencies().commonOf(sql, terms, project))
  expect(
    await common({ words: ['list', '1234', 'lis', 'seldom', 'nothing'], tags: ['t2', 'ops'] }, large),
  ).toEqual({
    words: ['list', 'lis'],
    tags: ['t2'],
  })
  expect(await common({ words: ['list', 'plan'] }, mixed[1]!)).toEqual({ words: [], tags: [] })
  expect(await common({ words: ['list', 'plan'] }, null)).toEqual({ words: ['list', 'plan'], tags: [] })
})

/** Pages of tables and indexes that a search touches. */
const touchedBy = async (filter: TaskFilter): Promise<number> => {
  const count = async (): Promise<number> => {
    const [row] = await db.read(async (sql) => {
      await sql`select pg_stat_force_next_flush()`
      return sql<{ count: number }[]>`
        select sum(heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read)::int as count
        from pg_statio_user_tables where relname = 'tasks'`
    })
    return row!.count
  }
  const before = await count()
  await firstPage(filter, { by: 'createdAt', descending: true })
  return (await count()) - before
}

test('a page of common words is read in the order of the list, however many tasks have them', async () => {
  const filter: TaskFilter = { projectId: large, words: ['item', 'list'] }
  const common = await db.read((sql) => new WordFrequencies().commonOf(sql, filter, large))
  const [flat, growing] = [await touchedBy({ ...filter, common }), await touchedBy(filter)]
  expect(flat).toBeLessThan(200)
  expect(growing).toBeGreaterThan(flat)
})

test('the index of words is read for the rare words of a search alone', async () => {
  const filter: TaskFilter = { projectId: large, words: ['list', '1234'], tags: ['t1'] }
  const common = await db.read((sql) => new WordFrequencies().commonOf(sql, filter, large))
  const planOf = async (one: TaskFilter): Promise<string> => {
    const rows = await db.read(
      (sql) => sql<{ 'QUERY PLAN': string }[]>`
        explain select id from tasks t where t.project_id = ${large} ${textCondition(sql, one, large, 'index')}`,
    )
    return rows.map((row) => row['QUERY PLAN']).join('\n')
  }
  const [flat, growing] = [await planOf({ ...filter, common }), await planOf(filter)]
  const looked = (plan: string): string => /Index Cond: \((words @@ .*)\)/.exec(plan)?.[1] ?? plan
  expect(looked(flat)).toContain('1234')
  expect(looked(flat)).not.toContain('list')
  expect(flat).toContain('ts_match_vq')
  expect(looked(growing)).toContain('list')
})
