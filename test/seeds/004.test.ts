// Seed 004, "TaskSync": assignment, live broadcast of every change, a cache that follows each write, several processes
// on one log, a health endpoint for each, an orderly stop, and its stress test: a thousand tasks created, changed and
// deleted while others watch. How long anything takes decides nothing here: the run ends when every watcher has
// received every change, and each wait restarts with progress.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { RunningServer } from '../../src/app/compose.ts'
import { testRedis } from '../support/environment.ts'
import { eventually } from '../support/eventually.ts'
import type { Frame, TestSocket } from '../support/socket.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { openWorker, type TestWorker } from '../worker/rig.ts'

const count = 1_000
/** Requests at once, as the seed's script has. */
const writers = 16
const perServer = 3

let world: World
let second: RunningServer
let worker: TestWorker
let owner: Person
let member: Person
let stranger: Person
let projectId: string

beforeAll(async () => {
  world = await startWorld()
  second = await world.another()
  worker = await openWorker({ ...world, overdueIntervalMs: 60_000 })
  ;({ owner, member, stranger } = await world.people('owner', 'member', 'stranger'))
  projectId = (await world.project(owner, { editor: [member] })).id
}, 60_000)

afterAll(async () => {
  await worker?.[Symbol.asyncDispose]()
  await second?.[Symbol.asyncDispose]()
  await world?.[Symbol.asyncDispose]()
}, 60_000)

/** Runs `work` for every item, `writers` at once. */
const forAll = async <T>(
  items: readonly T[],
  work: (item: T, n: number) => Promise<unknown>,
): Promise<void> => {
  const left = items.map((item, n) => ({ item, n }))
  const run = async (): Promise<void> => {
    for (let next = left.shift(); next; next = left.shift()) await work(next.item, next.n)
  }
  await Promise.all(Array.from({ length: writers }, run))
}

/** A write as a client makes it: under a key, and again where the machine was too slow to answer (503). */
const write = async (
  person: Person,
  method: string,
  path: string,
  body?: unknown,
): Promise<{ id: string }> => {
  const headers = { 'Idempotency-Key': crypto.randomUUID() }
  const options = { token: person.token, headers, ...(body !== undefined && { body }) }
  return eventually(
    async () => {
      const answer = await world.call(method, path, options)
      expect([answer.status, answer.status < 300 ? null : answer.body]).toEqual([expect.any(Number), null])
      return answer.body
    },
    { timeoutMs: 60_000 },
  )
}

/** A socket that follows the project, on one of the two servers. */
const watch = async (person: Person, url: string): Promise<TestSocket> => {
  const socket = await world.socket(person, url)
  socket.send({ t: 'sub', rid: 1, scope: `project:${projectId}` })
  await socket.take('synced')
  // As every client does: a server closes a connection that is silent for 60 s, and a slow machine needs longer.
  const pinging = setInterval(() => socket.send({ t: 'ping', ts: Date.now() }), 15_000)
  void socket.closed(600_000).finally(() => clearInterval(pinging))
  return socket
}

const eventsOf = ({ frames }: TestSocket): Frame[] => frames.filter(({ t }) => t === 'event')

const isTask = ({ type }: Frame): boolean => String(type).startsWith('task.')

/** The tasks as a client that only applies events knows them. */
const stateFrom = (socket: TestSocket): Map<string, Record<string, unknown>> => {
  const tasks = new Map<string, Record<string, unknown>>()
  for (const { type, id, data } of eventsOf(socket).filter(isTask)) {
    if (type === 'task.deleted') tasks.delete(id)
    else tasks.set(id, data)
  }
  return tasks
}

const listAll = async (person: Person): Promise<Record<string, unknown>[]> => {
  const items: Record<string, unknown>[] = []
  let cursor: string | null = null
  do {
    const page: { items: Record<string, unknown>[]; nextCursor: string | null } = await world.ask(
      person,
      'GET',
      `/api/tasks?projectId=${projectId}&limit=100${cursor === null ? '' : `&cursor=${cursor}`}`,
    )
    items.push(...page.items)
    cursor = page.nextCursor
  } while (cursor !== null)
  return items
}

test('a thousand tasks are created, changed and deleted, and every watcher on every process sees each change once', async () => {
  await using stack = new AsyncDisposableStack()
  const sockets: TestSocket[] = []
  for (let n = 0; n < perServer; n += 1)
    for (const [person, url] of [
      [owner, world.url],
      [member, second.url],
    ] as const)
      sockets.push(stack.use(await watch(person, url)))

  const received = async (events: number): Promise<void> => {
    await eventually(
      () =>
        expect(sockets.map((socket) => eventsOf(socket).filter(isTask).length)).toEqual(
          sockets.map(() => events),
        ),
      {
        timeoutMs: 20_000,
        everyMs: 50,
        progress: () => sockets.reduce((sum, socket) => sum + eventsOf(socket).length, 0),
      },
    )
  }

  const ids: string[] = []
  await forAll(Array.from({ length: count }), async (_item, n) => {
    const { id } = await write(n % 2 ? owner : member, 'POST', '/api/tasks', {
      projectId,
      title: `Stress task ${n}`,
      ...(n % 10 === 0 && { assigneeId: member.id }),
    })
    ids.push(id)
  })
  await received(count)
  const listed = await listAll(owner)
  expect(listed.length).toBe(count)

  // Pending, in progress, completed.
  await forAll(ids, async (id, n) => {
    await write(n % 2 ? member : owner, 'PATCH', `/api/tasks/${id}`, {
      status: n % 3 === 0 ? 'done' : 'in_progress',
    })
  })
  await received(2 * count)
  const changed = new Map((await listAll(member)).map((task) => [String(task['id']), task]))
  expect([...changed.values()].filter(({ status }) => status === 'done').length).toBe(Math.ceil(count / 3))
  for (const socket of sockets) expect(stateFrom(socket)).toEqual(changed)

  await forAll(ids, async (id) => {
    await write(owner, 'DELETE', `/api/tasks/${id}`)
  })
  await received(3 * count)
  expect(await listAll(owner)).toEqual([])

  for (const socket of sockets) {
    const events = eventsOf(socket).filter(isTask)
    expect(stateFrom(socket).size).toBe(0)
    // In the order of the log, none twice: cursors rise, and so do the versions of each task.
    const numbers = events.map(({ cursor }) => Number(String(cursor).split('.')[2]))
    expect(numbers).toEqual([...new Set(numbers)].toSorted((a, b) => a - b))
    for (const versions of Map.groupBy(events, ({ id }) => String(id)).values())
      expect(versions.map(({ version }) => version)).toEqual([1, 2, 3])
  }
}, 300_000)

test('assignments of the run have notified the assignee, each once', async () => {
  const [row] = await world.server.deps.db.read(
    (sql) => sql<{ assigned: number }[]>`
      select count(*)::int as assigned from feed
      where type = 'task.created' and changes -> 'assigneeId' ->> 'to' = ${member.id} and actor_id <> ${member.id}`,
  )
  // Those whose task was deleted before the worker read its entry notify no one.
  await eventually(async () => {
    const late = await world.server.deps.db.read(
      (sql) => sql`select from feed_head h join consumer_cursor c using (shard) where c.seq < h.seq`,
    )
    expect(late.length).toBe(0)
  })
  const rows = await world.server.deps.db.read(
    (sql) => sql<{ taskId: string }[]>`
      select task_id as "taskId" from notifications where user_id = ${member.id} and kind = 'assigned'`,
  )
  expect(rows.length).toBeLessThanOrEqual(row!.assigned)
  expect(new Set(rows.map(({ taskId }) => taskId)).size).toBe(rows.length)
})

test('a list that was read before a change shows the change, on the other process too', async () => {
  const list = async (url: string): Promise<unknown[]> => {
    const answer = await fetch(`${url}/api/tasks?projectId=${projectId}`, {
      headers: { Authorization: `Bearer ${owner.token}` },
    })
    const { items } = (await answer.json()) as { items: { title: string }[] }
    return items.map(({ title }) => title)
  }
  for (const url of [world.url, second.url, world.url]) expect(await list(url)).toEqual([])
  const { id } = await world.ask(owner, 'POST', '/api/tasks', { projectId, title: 'First' })
  for (const url of [world.url, second.url]) expect(await list(url)).toEqual(['First'])
  await world.ask(member, 'PATCH', `/api/tasks/${id}`, { title: 'Renamed' })
  for (const url of [second.url, world.url]) expect(await list(url)).toEqual(['Renamed'])
  await world.ask(owner, 'DELETE', `/api/tasks/${id}`)
  for (const url of [second.url, world.url]) expect(await list(url)).toEqual([])
})

test('a write whose event cannot be published is answered and reaches every watcher: the seed failed it', async () => {
  await using redis = await testRedis()
  await using alone = await startWorld({ redisUrl: redis.url })
  await using other = await alone.another()
  const ada = await alone.register()
  const scope = `project:${ada.inboxId}`
  await using near = await alone.socket(ada)
  await using far = await alone.socket(ada, other.url)
  for (const socket of [near, far]) {
    socket.send({ t: 'sub', rid: 1, scope, cursor: null })
    await socket.take('synced')
  }
  await redis[Symbol.asyncDispose]()
  const made = await alone.call('POST', '/api/tasks', { token: ada.token, body: { title: 'Without Redis' } })
  expect(made.status).toBe(201)
  for (const socket of [near, far])
    expect(await socket.take('event')).toMatchObject({ type: 'task.created', id: made.body.id })
}, 30_000)

test('neither sockets nor routes serve who has no account or no membership', async () => {
  expect((await world.call('GET', '/api/tasks')).status).toBe(401)
  expect(
    (await world.call('GET', `/api/tasks?projectId=${projectId}`, { token: stranger.token })).status,
  ).toBe(404)
  const socket = await world.socket(stranger, second.url)
  socket.send({ t: 'sub', rid: 1, scope: `project:${projectId}` })
  expect(await socket.take('error')).toMatchObject({ code: 'not_found' })
  const { body } = await world.call('GET', '/api/users/me', { token: stranger.token })
  expect(body.role).toBe('user') // the seed makes everyone an admin who asks for it
  const asked = await world.call('POST', '/api/auth/register', {
    body: { name: 'Eve', email: 'eve@example.com', password: 'correct horse battery', role: 'admin' },
  })
  expect(asked.status).toBe(422)
})

test('each process reports its health, and none stops in silence', async () => {
  for (const url of [world.url, second.url, worker.url]) {
    expect((await fetch(`${url}/livez`)).status).toBe(200)
    expect((await fetch(`${url}/readyz`)).status).toBe(200)
  }
  const third = await world.another()
  const socket = await watch(owner, third.url)
  await third[Symbol.asyncDispose]()
  expect(socket.frames.some(({ t }) => t === 'bye')).toBe(true)
  expect(await socket.closed()).toBe(1012)
}, 60_000)

test('its page shows a live board, with a script and a style of its own', async () => {
  const page = await fetch(`${world.url}/board`)
  expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8'])
  const html = await page.text()
  for (const [, path] of html.matchAll(/(?:src|href)="(\/[^"]+)"/g))
    expect([path, (await fetch(world.url + path)).status]).toEqual([path, 200])
  expect(html).toContain('/board/board.js') // test/http/live-board.test.ts uses it in a browser
})
