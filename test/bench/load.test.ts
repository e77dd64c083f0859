// The bench's own load, short, against a real server: what it counts as answered is in the database, in the log without a
// hole, and at a socket once each; and what it counts as failed is.
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test'
import { startGenerator, type Generator } from '../../bench/load/generator.ts'
import type { HttpRequest, LoadJob } from '../../bench/load/job.ts'
import { dueTime } from '../../bench/load/native-load.ts'
import { projectScope } from '../../src/model/scope.ts'
import { eventually } from '../support/eventually.ts'
import { startWorld, type Person, type World } from '../support/world.ts'

let world: World
let generator: Generator
let people: Person[]

beforeAll(async () => {
  world = await startWorld()
  generator = startGenerator()
}, 30_000)

// People of its own for each test: what was in flight when an earlier load ended may be stored during this one.
beforeEach(async () => {
  people = []
  for (let index = 0; index < 4; index += 1) people.push(await world.register())
})

afterAll(async () => {
  await generator?.[Symbol.asyncDispose]()
  await world?.[Symbol.asyncDispose]()
}, 20_000)

const create = ({ token, inboxId }: Person): HttpRequest => ({
  method: 'POST',
  path: '/api/tasks',
  headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
  body: JSON.stringify({ projectId: inboxId, title: `due ${dueTime}` }),
})

const job = (more: Partial<LoadJob>): LoadJob => ({
  with: 'native',
  url: world.url,
  connections: 16,
  seconds: 0.5,
  requests: people.map(create),
  expect: 201,
  ...more,
})

const inboxTasks = async (): Promise<number> => {
  const { db } = world.server.deps
  const ids = people.map(({ inboxId }) => inboxId)
  const [row] = await db.read(
    (sql) => sql<{ count: number }[]>`
      select count(*)::int as count from tasks where project_id = any(${ids}::uuid[])`,
  )
  return row!.count
}

/** Numbers that a shard lacks below its head. */
const missingNumbers = async (): Promise<number> => {
  const [row] = await world.server.deps.db.read(
    (sql) => sql<{ missing: number }[]>`
      select coalesce(sum(h.seq - coalesce(f.count, 0)), 0)::int as missing
      from feed_head h left join (select shard, count(*) as count from feed group by shard) f using (shard)`,
  )
  return row!.missing
}

for (const kind of ['native', 'autocannon'] as const)
  test(`what ${kind} counts as answered is stored, logged without a hole, and sent once`, async () => {
    const [person] = people
    await using socket = await world.socket(person!)
    const scope = projectScope(person!.inboxId)
    socket.send({ t: 'sub', rid: 1, scope, cursor: null })
    await socket.take('synced')
    const before = await inboxTasks()
    const result = await generator.run(job({ with: kind, seconds: 1 }))
    expect(result.failed).toBe(0)
    expect(result.answered).toBeGreaterThan(0)
    // Requests in flight when the load ended may have been stored without being counted.
    const stored = (await inboxTasks()) - before
    expect(stored).toBeGreaterThanOrEqual(result.answered)
    expect(stored).toBeLessThanOrEqual(result.answered + 16)
    expect(await missingNumbers()).toBe(0)
    await eventually(async () => {
      // Read again each time: requests in flight when the load ended may be logged after the first reading.
      const logged = (await world.entries(scope)).filter(({ type }) => type === 'task.created')
      const seen = socket.frames.filter(({ t }) => t === 'event')
      expect(seen.map(({ cursor }) => cursor)).toEqual(logged.map(({ frame }) => JSON.parse(frame!).cursor))
    })
  }, 30_000)

test('an open loop sends what is due, with the time it was due in the body', async () => {
  const startedAt = Date.now()
  const result = await generator.run(job({ perSecond: 40 }))
  expect({ answered: result.answered, failed: result.failed }).toEqual({ answered: 20, failed: 0 })
  const { body } = await world.call('GET', `/api/tasks?projectId=${people[0]!.inboxId}&sort=-createdAt`, {
    token: people[0]!.token,
  })
  const due = Number(/^due (\d{13}\.\d{3})$/.exec(body.items[0].title)?.[1])
  expect(due).toBeGreaterThanOrEqual(startedAt)
  expect(due).toBeLessThanOrEqual(Date.now())
})

test('other statuses and connections that are refused count as failed', async () => {
  const unknown = await generator.run(
    job({ requests: [{ method: 'GET', path: '/api/nowhere', headers: {} }], expect: 200 }),
  )
  expect(unknown.answered).toBe(0)
  expect(unknown.failed).toBeGreaterThan(0)
  expect(Object.keys(unknown.statuses)).toEqual(['404'])
  const refused = await generator.run(job({ url: 'http://127.0.0.1:1', seconds: 0.1 }))
  expect(refused.answered).toBe(0)
  expect(refused.failed).toBeGreaterThan(0)
})
