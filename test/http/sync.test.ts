// The log over HTTP: pages of several scopes, the long poll, and everything that ends it.
import { afterAll, afterEach, beforeAll, expect, test } from 'bun:test'
import type { RunningServer } from '../../src/app/compose.ts'
import { LongPoll } from '../../src/http/long-poll.ts'
import { shardOf, userScope, type Scope } from '../../src/model/scope.ts'
import { durationOf, eventually, expectWithin } from '../support/eventually.ts'
import { startWorld, type Answer, type Person, type World } from '../support/world.ts'
import { addMember, entry, makeProject, appendEntries, appendMany } from '../ws/log-writes.ts'

let world: World
let anna: Person

beforeAll(async () => {
  world = await startWorld()
  anna = await world.register()
}, 30_000)
afterAll(() => world[Symbol.asyncDispose]())
afterEach(() => eventually(() => expect(world.server.deps.follower.scopeCount).toBe(0)))

const headOf = async (scope: Scope): Promise<string> =>
  (JSON.parse((await world.entries(scope)).at(-1)!.frame!) as { cursor: string }).cursor

const sync = (
  pairs: [string, string][],
  { wait = 0, token = anna.token }: { wait?: number; token?: string } = {},
): Promise<Answer<any>> => {
  const query = new URLSearchParams(
    pairs.flatMap(([scope, cursor]) => [
      ['scope', scope],
      ['cursor', cursor],
    ]),
  )
  if (wait > 0) query.set('wait', String(wait))
  return world.call('GET', `/api/sync?${query.toString()}`, { token })
}

test('a page has a tag, and is compressed where the client accepts it', async () => {
  const { scope } = await makeProject(world, anna)
  const cursor = await headOf(scope)
  await appendMany(world.server.deps, scope, 20)
  const url = `${world.url}/api/sync?scope=${scope}&cursor=${cursor}`
  const read = (headers: Record<string, string>) =>
    fetch(url, { headers: { Authorization: `Bearer ${anna.token}`, ...headers } })
  const page = await read({ 'Accept-Encoding': 'gzip' })
  expect([page.status, page.headers.get('content-encoding')]).toEqual([200, 'gzip'])
  expect((await page.json()).scopes[0].events).toHaveLength(20)
  const tag = page.headers.get('etag')!
  expect((await read({ 'If-None-Match': tag })).status).toBe(304)
  await appendMany(world.server.deps, scope, 1)
  expect((await read({ 'If-None-Match': tag })).status).toBe(200)
})

/** Resolves once a long poll of the scope listens. */
const listening = (): Promise<void> =>
  eventually(() => expect(world.server.deps.follower.scopeCount).toBeGreaterThan(0))

test('several scopes are answered in their order, each with its events and cursor (P-HTTP-1)', async () => {
  const first = await makeProject(world, anna)
  const second = await makeProject(world, anna)
  const cursors = [await headOf(first.scope), await headOf(second.scope)]
  await appendMany(world.server.deps, second.scope, 3)
  const { status, headers, body } = await sync([
    [second.scope, cursors[1]!],
    [first.scope, cursors[0]!],
    ['user:me', cursors[0]!.replace(/\.\d+\.\d+$/, await personalPlace())],
  ])
  expect([status, headers.get('cache-control')]).toEqual([200, 'private, no-cache'])
  expect(body.scopes.map((page: { scope: string }) => page.scope)).toEqual([
    second.scope,
    first.scope,
    userScope(anna.id),
  ])
  const [three, none] = body.scopes
  const written = (await world.entries(second.scope)).slice(-3).map(({ frame }) => JSON.parse(frame!))
  expect(three).toEqual({ scope: second.scope, events: written, cursor: expect.any(String), more: false })
  expect(none).toMatchObject({ events: [], more: false })
  expect((await sync([[second.scope, three.cursor]])).body.scopes[0].events).toEqual([])
})

const personalPlace = async (): Promise<string> => {
  const { shard, seq } = (await world.entries(userScope(anna.id))).at(-1)!
  return `.${shard}.${seq}`
}

test('a page is 500 events, an answer bounded in bytes, and nothing is lost between (P-HTTP-2)', async () => {
  const scopes = await Promise.all([1, 2, 3].map(async () => (await makeProject(world, anna)).scope))
  let pairs: [Scope, string][] = await Promise.all(
    scopes.map(async (scope): Promise<[Scope, string]> => [scope, await headOf(scope)]),
  )
  for (const scope of scopes) await appendMany(world.server.deps, scope, 600, 9_000)
  const received = new Map<string, string[]>()
  let answers = 0
  for (let more = true; more; answers += 1) {
    const { status, body } = await sync(pairs)
    expect(status).toBe(200)
    expect(JSON.stringify(body).length).toBeLessThan(5 * 1024 * 1024)
    for (const page of body.scopes) {
      expect(page.events.length).toBeLessThanOrEqual(500)
      received.set(page.scope, [
        ...(received.get(page.scope) ?? []),
        ...page.events.map((event: { cursor: string }) => event.cursor),
      ])
    }
    pairs = body.scopes.map(({ scope, cursor }: { scope: Scope; cursor: string }) => [scope, cursor])
    more = body.scopes.some((page: { more: boolean }) => page.more)
  }
  expect(answers).toBeGreaterThan(3)
  for (const scope of scopes) {
    const log = (await world.entries(scope)).slice(1).map(({ frame }) => JSON.parse(frame!).cursor)
    expect(received.get(scope)).toEqual(log)
  }
}, 30_000)

test('waiting ends at once with the first write, wherever it was written (P-HTTP-3)', async () => {
  await using second = await world.another()
  const { scope } = await makeProject(world, anna)
  const cursor = await headOf(scope)
  for (const { deps } of [world.server, second] as RunningServer[]) {
    await expectWithin(1_000, async () => {
      let from = cursor
      for (let more = true; more;) ({ cursor: from, more } = (await sync([[scope, from]])).body.scopes[0])
      const waiting = sync([[scope, from]], { wait: 25 })
      await listening()
      return durationOf(async () => {
        await appendEntries(deps, entry(scope, { news: true }))
        expect((await waiting).body.scopes[0].events).toHaveLength(1)
      })
    })
  }
})

test('a wait returns at once where entries exist already, and ends in time where none come (P-HTTP-3)', async () => {
  const { scope } = await makeProject(world, anna)
  const cursor = await headOf(scope)
  const startedAt = performance.now()
  const { body } = await sync([[scope, cursor]], { wait: 1 })
  expect(performance.now() - startedAt).toBeGreaterThan(950)
  expect(body.scopes[0]).toMatchObject({ events: [], more: false })
  await appendEntries(world.server.deps, entry(scope))
  await expectWithin(1_000, () =>
    durationOf(async () =>
      expect((await sync([[scope, cursor]], { wait: 25 })).body.scopes[0].events).toHaveLength(1),
    ),
  )
})

test('waiting ends with 404 when the access is revoked (P-HTTP-3, P-REV-1)', async () => {
  await expectWithin(1_000, async () => {
    const bert = await world.register()
    const project = await makeProject(world, anna, { editor: bert })
    const waiting = sync([[project.scope, await headOf(project.scope)]], { wait: 25, token: bert.token })
    await listening()
    return durationOf(async () => {
      await world.call('DELETE', `/api/projects/${project.id}/members/${bert.id}`, { token: anna.token })
      expect((await waiting).status).toBe(404)
    })
  })
})

test('waiting ends when the session does, with 401 (P-HTTP-3)', async () => {
  await expectWithin(1_000, async () => {
    const bert = await world.register()
    const { scope } = await makeProject(world, bert)
    const waiting = sync([[scope, await headOf(scope)]], { wait: 25, token: bert.token })
    await listening()
    return durationOf(async () => {
      await world.call('POST', '/api/auth/logout-all', { token: bert.token })
      expect((await waiting).status).toBe(401)
    })
  })
})

test('waiting ends when the process stops, with an answer (P-HTTP-3)', async () => {
  const own = await world.another()
  const { scope } = await makeProject(world, anna)
  const waiting = fetch(`${own.url}/api/sync?scope=${scope}&cursor=${await headOf(scope)}&wait=25`, {
    headers: { Authorization: `Bearer ${anna.token}` },
  })
  await eventually(() => expect(own.deps.follower.scopeCount).toBeGreaterThan(0))
  await own[Symbol.asyncDispose]()
  expect((await waiting).status).toBe(200)
})

test('the wait of a client that disconnects ends', async () => {
  const { scope } = await makeProject(world, anna)
  const hangUp = new AbortController()
  const waiting = fetch(`${world.url}/api/sync?scope=${scope}&cursor=${await headOf(scope)}&wait=25`, {
    headers: { Authorization: `Bearer ${anna.token}` },
    signal: hangUp.signal,
  }).catch((error: unknown) => error)
  await listening()
  hangUp.abort()
  await waiting
  await eventually(() => expect(world.server.deps.follower.scopeCount).toBe(0))
})

test('inconsistent parameters are refused (P-HTTP-5)', async () => {
  const { scope } = await makeProject(world, anna)
  const bert = await world.register()
  const foreign = await makeProject(world, bert)
  const cursor = await headOf(scope)
  const ask = async (query: string) =>
    (await world.call('GET', `/api/sync?${query}`, { token: anna.token })).status
  expect(await ask(`scope=${scope}`)).toBe(422)
  expect(await ask('')).toBe(422)
  expect(await ask(`scope=${scope}&scope=${scope}&cursor=${cursor}`)).toBe(400)
  expect(await ask(`scope=${scope}&cursor=${cursor}&wait=26`)).toBe(422)
  expect(await ask(`scope=nonsense&cursor=${cursor}`)).toBe(404)
  expect((await sync([[foreign.scope, await headOf(foreign.scope)]])).status).toBe(404)
  expect(
    (
      await sync([
        [scope, cursor],
        [foreign.scope, await headOf(foreign.scope)],
      ])
    ).status,
  ).toBe(404)
  expect((await sync(Array.from({ length: 65 }, (): [string, string] => [scope, cursor]))).status).toBe(422)
  const repeated = await sync(Array.from({ length: 64 }, (): [string, string] => [scope, cursor]))
  expect([repeated.status, repeated.body.code]).toEqual([400, 'bad_request'])
})

test('of one user four polls wait, the longest waiting is answered for a fifth, others are not touched', async () => {
  const { scope } = await makeProject(world, anna)
  const bert = await world.register()
  await addMember(world, { id: scope.slice('project:'.length) }, anna, bert)
  const cursor = await headOf(scope)
  const answered: string[] = []
  const poll = async (name: string, token: string): Promise<Answer<any>> => {
    const answer = await sync([[scope, cursor]], { wait: 25, token })
    answered.push(name)
    return answer
  }
  const waiting = (person: Person, count: number) =>
    eventually(() => expect(world.server.deps.polls.waitingOf(person.id)).toBe(count))
  const polls = [poll('bert', bert.token)]
  await waiting(bert, 1)
  for (const [index, name] of ['1', '2', '3', '4'].entries()) {
    polls.push(poll(name, anna.token))
    await waiting(anna, index + 1)
  }
  polls.push(poll('5', anna.token), poll('6', anna.token))
  await eventually(() => expect(answered.toSorted()).toEqual(['1', '2']))
  await waiting(anna, 4)
  const [first] = await Promise.all(polls.slice(1, 3))
  expect(first!.status).toBe(200)
  // Its cursor is the head of the shard, which other scopes move too.
  expect(first!.body.scopes).toEqual([{ scope, events: [], cursor: expect.any(String), more: false }])
  await appendEntries(world.server.deps, entry(scope))
  const answers = await Promise.all([polls[0]!, ...polls.slice(3)])
  for (const { body } of answers) expect(body.scopes[0].events).toHaveLength(1)
})

test('polls that wait for their turn to read subscribe to nothing yet', async () => {
  const { db, follower } = world.server.deps
  const [one, other] = [await makeProject(world, anna), await makeProject(world, anna)]
  const [cursor, otherCursor] = [await headOf(one.scope), await headOf(other.scope)]
  const polls = await db.transact(async (tx) => {
    await tx`lock table members`
    const first = Array.from({ length: 4 }, () => sync([[one.scope, cursor]], { wait: 25 })) // half of the pool
    await eventually(() => expect([db.calls.running, follower.scopeCount]).toEqual([4, 2]))
    const later = Array.from({ length: 3 }, () => sync([[other.scope, otherCursor]], { wait: 25 }))
    await eventually(() => expect(db.calls.waitingOf(anna.id)).toBe(3))
    expect(follower.scopeCount).toBe(2) // the project that is read, and the user's own scope
    return [...first, ...later]
  })
  await eventually(() => expect([world.server.deps.polls.waitingOf(anna.id), db.calls.size]).toEqual([4, 0]))
  await appendEntries(world.server.deps, entry(one.scope), entry(other.scope))
  expect((await Promise.all(polls)).map(({ status }) => status)).toEqual(polls.map(() => 200))
}, 20_000)

test('a read that comes after the end of its poll subscribes to nothing', async () => {
  const { scope } = await makeProject(world, anna)
  const { follower } = world.server.deps
  const draining = new AbortController().signal
  const cursor = { epoch: follower.epoch, shard: shardOf(scope), seq: 0 }
  const poll = new LongPoll({ draining, follower }, anna.id, [{ scope, cursor }])
  poll.subscribe()
  poll.subscribe()
  expect(follower.scopeCount).toBe(2)
  poll[Symbol.dispose]()
  poll.subscribe()
  expect(follower.scopeCount).toBe(0)
})

test('64 scopes cost the statements of one, and only those that moved are read again', async () => {
  const projects: Scope[] = []
  for (let n = 0; n < 63; n += 1) projects.push((await makeProject(world, anna)).scope)
  const pairs = await Promise.all(
    projects.map(async (scope): Promise<[string, string]> => [scope, await headOf(scope)]),
  )
  using counted = countStatements(world)
  expect((await sync(pairs)).status).toBe(200)
  expect(counted.statements).toBeLessThanOrEqual(2)
  counted.statements = 0
  const poll = sync(pairs, { wait: 25 })
  await eventually(() => expect(world.server.deps.polls.waitingOf(anna.id)).toBe(1))
  expect(counted.statements).toBeLessThanOrEqual(2)
  counted.statements = 0
  await appendEntries(world.server.deps, entry(projects[7]!))
  const { body } = await poll
  expect(body.scopes.map(({ events }: { events: unknown[] }) => events.length)).toEqual(
    projects.map((_, index) => (index === 7 ? 1 : 0)),
  )
  expect(counted.statements).toBe(3)
  expect(counted.parameters.at(-1)).toContain(projects[7]!)
}, 20_000)

/** Counts the statements of snapshots that are read for callers. */
const countStatements = ({ server: { deps } }: World) => {
  const of = deps.db.of.bind(deps.db)
  const counted = {
    statements: 0,
    parameters: [] as unknown[][],
    [Symbol.dispose]: () => {
      deps.db.of = of
    },
  }
  deps.db.of = (caller) => ({
    ...of(caller),
    snapshot: (work, options) =>
      of(caller).snapshot((tx) => {
        const counting = new Proxy(tx, {
          apply(target, self, args: unknown[]) {
            counted.statements += 1
            counted.parameters.push(args.slice(1))
            return Reflect.apply(target as (...args: unknown[]) => unknown, self, args)
          },
        })
        return work(counting)
      }, options),
  })
  return counted
}
