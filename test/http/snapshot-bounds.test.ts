// The bounds of snapshots: pages bounded in bytes, one read at a time for each user, memoised snapshots bounded in bytes.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { createClient } from '../../packages/client/src/client.ts'
import { selectTasksAfter } from '../../src/db/log/snapshot.ts'
import { pageBytes } from '../../src/domain/snapshot-pages.ts'
import { eventually } from '../support/eventually.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { makeProject } from '../ws/log-writes.ts'

let world: World
let anna: Person
let projectId: string

const descriptionBytes = 40_000
const tasks = 300

/** Tasks whose descriptions take 40,000 bytes as text, or six times as much as JSON where they are controls. */
const fill = async (project: string, count: number, text: string): Promise<void> => {
  await world.server.deps.db.transact(
    (tx) => tx`
      insert into tasks (id, project_id, creator_id, title, description, rank)
      select gen_random_uuid(), ${project}, ${anna.id}, 'long', ${text}, lpad(n::text, 8, '0')
      from generate_series(1, ${count}) n`,
    { deadlineMs: 20_000 },
  )
}

beforeAll(async () => {
  world = await startWorld()
  anna = await world.register()
  projectId = (await makeProject(world, anna)).id
  await fill(projectId, tasks, '𝔱'.repeat(descriptionBytes / 4))
}, 60_000)
afterAll(() => world[Symbol.asyncDispose]())

const page = (query: string, project = projectId) =>
  world.call('GET', `/api/projects/${project}/snapshot?${query}`, { token: anna.token })

test('a page ends where it holds 4 MiB, and nextAfter goes on until every task was there once', async () => {
  const ids: string[] = []
  let pages = 0
  let after = ''
  let cursor: string | null = null
  do {
    const answer = await page(`limit=5000${after}`)
    expect(answer.status).toBe(200)
    const bytes = Buffer.byteLength(JSON.stringify(answer.body))
    expect(bytes).toBeLessThanOrEqual(pageBytes)
    cursor ??= answer.body.cursor
    expect(answer.body.cursor).toBe(cursor)
    ids.push(...answer.body.tasks.map(({ id }: { id: string }) => id))
    after = answer.body.nextAfter === null ? '' : `&after=${answer.body.nextAfter}`
    pages += 1
  } while (after !== '')
  const least = Math.ceil((tasks * descriptionBytes) / pageBytes)
  expect(pages).toBeWithin(least, least + 3)
  expect([ids.length, new Set(ids).size]).toEqual([tasks, tasks])
})

test('text that is longer as JSON is counted as JSON', async () => {
  const { id } = await makeProject(world, anna)
  await fill(id, 100, '\u0001'.repeat(10_000))
  let seen = 0
  for (let after = ''; ;) {
    const { body } = await page(`limit=5000${after}`, id)
    expect(Buffer.byteLength(JSON.stringify(body))).toBeLessThanOrEqual(pageBytes)
    seen += body.tasks.length
    if (body.nextAfter === null) break
    after = `&after=${body.nextAfter}`
  }
  expect(seen).toBe(100)
})

test('one snapshot is read at a time for each user', async () => {
  const bert = await world.register()
  const { db } = world.server.deps
  const of = db.of.bind(db)
  const now = new Map<string | symbol, number>()
  const most = new Map<string | symbol, number>()
  db.of = (caller) => ({
    ...of(caller),
    async snapshot(work, options) {
      const running = (now.get(caller) ?? 0) + 1
      now.set(caller, running)
      most.set(caller, Math.max(most.get(caller) ?? 0, running))
      return of(caller)
        .snapshot(work, options)
        .finally(() => now.set(caller, now.get(caller)! - 1))
    },
  })
  const own = ({ token }: Person) => world.call('GET', '/api/users/me/snapshot', { token })
  const answers = await Promise.all([
    ...Array.from({ length: 8 }, (_, n) => page(`limit=${100 + n}`)),
    ...Array.from({ length: 8 }, () => own(anna)),
    ...Array.from({ length: 8 }, () => own(bert)),
  ])
  db.of = of
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
  expect([most.get(anna.id), most.get(bert.id)]).toEqual([1, 1])
}, 20_000)

test('the snapshots memoised for equal requests are bounded in bytes', async () => {
  const { snapshots } = world.server.deps
  for (let limit = 1_000; limit < 1_008; limit += 1) await page(`limit=${limit}`)
  expect(snapshots.keptBytes).toBeGreaterThan(0)
  expect(snapshots.keptBytes).toBeLessThanOrEqual(8 * 1024 * 1024)
}, 20_000)

test('tasks shared with the user are in the snapshot, with 4 MiB of descriptions and the ids of the rest', async () => {
  const carl = await world.register()
  await world.server.deps.db.transact(
    (tx) => tx`
      insert into shares (task_id, user_id, permission)
      select id, ${carl.id}, 'view' from tasks where project_id = ${projectId}`,
  )
  const { body } = await world.call('GET', '/api/users/me/snapshot', { token: carl.token })
  expect(body.sharedTasks).toHaveLength(tasks)
  expect(Buffer.byteLength(JSON.stringify(body))).toBeLessThan(pageBytes + 400_000)
  const whole = body.sharedTasks.filter((task: { omitted?: string[] }) => !task.omitted)
  expect(whole).toHaveLength(Math.ceil(pageBytes / descriptionBytes))
  for (const task of whole) expect(task.description).toHaveLength(descriptionBytes / 2)
  const cut = body.sharedTasks.find((task: { omitted?: string[] }) => task.omitted)
  expect([cut.omitted, cut.description]).toEqual([['description'], ''])
  using client = createClient({ url: world.url })
  await client.session.adopt(carl.session)
  using view = client.live()
  await view.ready
  await eventually(
    () => {
      const { sharedTasks } = view.current
      expect(sharedTasks).toHaveLength(tasks)
      expect(sharedTasks.every(({ description }) => description.length === descriptionBytes / 2)).toBe(true)
    },
    { timeoutMs: 15_000 },
  )
}, 30_000)

test('tasks are read in groups, so that no group blocks other requests', async () => {
  const { id } = await makeProject(world, anna)
  await fill(id, 1_000, 'short')
  const groups: number[] = []
  let working = 0
  await world.server.deps.db.snapshot((tx) =>
    selectTasksAfter(tx, id, null, { limit: 900, maxBytes: pageBytes }, async (rows) => {
      working += 1
      expect(working).toBe(1)
      for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve))
      groups.push(rows.length)
      working -= 1
    }),
  )
  expect(groups).toEqual([250, 250, 250, 150])
})
