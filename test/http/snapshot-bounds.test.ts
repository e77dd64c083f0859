// The bounds of snapshots: pages bounded in bytes, one read at a time for each user, memoised snapshots bounded in bytes.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { HeldBytesStore, type HeldBytes } from '../../src/async/held-bytes.ts'
import type { Actor } from '../../src/model/actor.ts'
import { isId } from '../../src/model/scalar.ts'
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

test('pages of one user are read no faster than 24 MB a second', async () => {
  const startedAt = performance.now()
  await Promise.all([1, 2, 3].map((n) => page(`limit=${4_000 + n}`)))
  // The third begins when both before it have had their time.
  expect(performance.now() - startedAt).toBeGreaterThan(
    ((2 * (pageBytes - descriptionBytes)) / 24_000_000) * 1_000,
  )
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

test('tasks arrive joined to pieces, which become bytes of a page as they arrive', async () => {
  const { id: small } = await makeProject(world, anna)
  await fill(small, 5_000, '')
  const read = async (project: string, maxBytes: number) => {
    const pieces: { bytes: number; turn: number }[] = []
    let turn = 0
    let isOver = false
    const count = (): void => {
      turn += 1
      if (!isOver) setImmediate(count)
    }
    count()
    const last = await world.server.deps.db.snapshot((tx) =>
      selectTasksAfter(tx, project, null, { limit: 4_999, maxBytes }, ({ length: bytes }) =>
        pieces.push({ bytes, turn }),
      ),
    )
    isOver = true
    return { pieces, last, turns: new Set(pieces.map((piece) => piece.turn)).size }
  }
  const short = await read(small, pageBytes)
  const bytes = short.pieces.reduce((sum, piece) => sum + piece.bytes, 0)
  // The driver takes longer for a row than for its bytes: 5,000 rows would hold the event loop.
  expect(short.pieces.length).toBeLessThanOrEqual(Math.ceil(bytes / 65_536) + 1)
  expect(Math.max(...short.pieces.map((piece) => piece.bytes))).toBeLessThan(65_536 + 1_000)
  expect(isId(short.last?.id ?? '')).toBe(true)
  const long = await read(projectId, 4 * pageBytes)
  expect(long.last).toBeNull()
  // 12 MB come in many reads of the socket, and the event loop turns between them.
  expect(long.turns).toBeGreaterThan(1)
})

test('a task in a snapshot is the text that the task itself is, whatever it contains', async () => {
  const seed = Number(process.env['SEED'] ?? Date.now())
  const random = seeded(seed)
  const { id: project } = await makeProject(world, anna)
  const points = [
    0x20, 0x7e, 0xe9, 0x2028, 0x4e00, 0x1d531, 0x1f469, 0x22, 0x5c, 0x2f, 0x9, 0xa, 0x7f, 0x85, 0xfeff,
  ]
  const text = (length: number): string =>
    Array.from({ length }, () => String.fromCodePoint(points[Math.floor(random() * points.length)]!)).join('')
  for (let n = 0; n < 60; n += 1) {
    const due = new Date(Math.floor(random() * 4e12)).toISOString()
    const answer = await world.call('POST', '/api/tasks', {
      token: anna.token,
      body: {
        projectId: project,
        title: `t${text(20)}`,
        description: text(200),
        tags: n % 3 === 0 ? [] : [`a${text(3).replaceAll(/[\p{Cc}/]/gu, '"')}b`, `tag ${n}`],
        dueAt: [null, due, `${due.slice(0, 19)}Z`, '0001-01-01T00:00:00Z', '9999-12-31T23:59:59.999Z'][n % 5],
        status: n % 2 === 0 ? 'done' : 'todo',
      },
    })
    expect([seed, n, answer.status, answer.body.detail]).toEqual([seed, n, 201, undefined])
  }
  const snapshot = await (await raw(`/api/projects/${project}/snapshot`)).text()
  const { tasks: all } = JSON.parse(snapshot)
  expect(all).toHaveLength(60)
  for (const { id } of all) {
    const task = await (await raw(`/api/tasks/${id}`)).text()
    expect([seed, snapshot.includes(task)]).toEqual([seed, true])
  }
}, 20_000)

const seeded = (seed: number) => {
  let state = seed >>> 0
  return (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

const raw = (
  path: string,
  init: { method?: string; signal?: AbortSignal; headers?: Record<string, string> } = {},
): Promise<Response> =>
  fetch(world.url + path, {
    ...init,
    headers: { Authorization: `Bearer ${anna.token}`, 'Accept-Encoding': 'identity', ...init.headers },
  })

const mebibyte = 1024 * 1024

test('pages that are not sent yet are bounded for each user, and another user reads on', async () => {
  const { snapshots } = world.server.deps
  const bert = await world.register()
  const actorOf = ({ id }: Person): Actor => ({ userId: id, role: 'user', credential: { kind: 'system' } })
  const held: { release: () => void }[] = []
  const waiting = Array.from({ length: 8 }, (_, n) =>
    snapshots.ofProject(actorOf(anna), projectId, null, 2_000 + n).then((one) => held.push(one)),
  )
  await eventually(() => expect(held).toHaveLength(2))
  const own = await snapshots.ofUser(actorOf(bert))
  own.release()
  for (let sent = 0; sent < 8; sent += 1) {
    await eventually(() => expect(held.length).toBeGreaterThan(sent))
    expect(held.length - sent).toBeLessThanOrEqual(2)
    // Two being sent, and what is kept for equal requests.
    expect(snapshots.heldBytes).toBeLessThanOrEqual((2 * 4 + 8 + 1) * mebibyte)
    held[sent]!.release()
  }
  await Promise.all(waiting)
  await eventually(() => expect(snapshots.heldBytes).toBe(0), { timeoutMs: 5_000 })
}, 20_000)

test.each(['identity', 'gzip', 'zstd'])(
  'an answer frees its page however it ends (%s)',
  async (encoding) => {
    const { snapshots, db } = world.server.deps
    const path = `/api/projects/${projectId}/snapshot`
    const headers = { 'Accept-Encoding': encoding }
    const whole = await (await raw(`${path}?limit=3000`, { headers })).json()
    expect(whole.tasks.length).toBeGreaterThan(90)
    await raw(`${path}?limit=3001`, { headers, method: 'HEAD' })
    // Known already.
    const { status, headers: sent } = await raw(`${path}?limit=3000`, { headers, method: 'HEAD' })
    const known = await raw(`${path}?limit=3000`, {
      headers: { ...headers, 'If-None-Match': sent.get('etag')! },
    })
    expect([status, known.status, await known.text()]).toEqual([200, 304, ''])
    // Left while it is sent.
    const stop = new AbortController()
    const begun = await raw(`${path}?limit=3002`, { headers, signal: stop.signal })
    const reader = begun.body!.getReader()
    await reader.read()
    stop.abort()
    await reader.read().catch(() => {})
    // Left before the answer: the row of the project is read only after the lock is gone.
    await db.transact(async (tx) => {
      await tx`lock table members`
      const gone = new AbortController()
      const answer = raw(`${path}?limit=3003`, { headers, signal: gone.signal }).catch(
        (error: unknown) => error,
      )
      await eventually(() => expect(db.calls.running).toBeGreaterThan(0))
      gone.abort()
      await answer
    })
    await eventually(() => expect(snapshots.heldBytes).toBe(0), { timeoutMs: 8_000 })
    const [one, two] = await Promise.all([
      raw(`${path}?limit=3004`, { headers }),
      raw(`${path}?limit=3005`, { headers }),
    ])
    expect([one.status, two.status]).toEqual([200, 200])
    expect(await one.text()).toBe(await two.text())
    await eventually(() => expect(snapshots.heldBytes).toBe(0), { timeoutMs: 8_000 })
  },
  30_000,
)

test('a read that fails frees what it has read', async () => {
  const store = new HeldBytesStore()
  let late: HeldBytes | undefined
  const failed = store.fill(async (open) => {
    open().append(new Uint8Array(300_000))
    late = open()
    late.append(new Uint8Array(300_000))
    expect(store.held).toBeWithin(300_000, 600_000)
    throw new Error('gone')
  })
  expect(failed).rejects.toThrow('gone')
  await failed.catch(() => {})
  late!.append(new Uint8Array(10)) // a row that arrives after the deadline
  expect([store.held, late!.length, [...late!.pieces()]]).toEqual([0, 0, []])
})

test('bytes stay until their last holder releases them, and are detached then', async () => {
  const store = new HeldBytesStore()
  const { bytes } = await store.fill(async (open) => {
    const list = open()
    for (let n = 0; n < 1_000; n += 1) list.append(Buffer.from(`${n} `.repeat(100)))
  })
  const whole = Buffer.concat([...bytes.pieces()])
  expect(whole.toString()).toBe(Array.from({ length: 1_000 }, (_, n) => `${n} `.repeat(100)).join(''))
  expect(bytes.length).toBe(whole.length)
  const [piece] = bytes.pieces()
  expect(bytes.hold()).toBe(true)
  bytes.release()
  expect(piece!.length).toBeGreaterThan(0)
  bytes.release()
  expect([piece!.length, store.held, bytes.hold()]).toEqual([0, 0, false])
})
