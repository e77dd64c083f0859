// Lists that are kept in two servers on one database: what is sent is what a new read would give, whatever was written
// in between and wherever.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { RunningServer } from '../../src/app/compose.ts'
import { createNotifications } from '../../src/domain/notifications/entries.ts'
import { systemWrite, write } from '../../src/domain/write.ts'
import { KeptAnswers } from '../../src/http/kept-answers.ts'
import { SharedAnswers, type TextStore } from '../../src/http/shared-answers.ts'
import { eventually } from '../support/eventually.ts'
import { startWorld, testPassword, type Person, type World } from '../support/world.ts'

let world: World
let other: RunningServer

beforeAll(async () => {
  world = await startWorld()
  other = await world.another()
}, 30_000)
afterAll(async () => {
  await other[Symbol.asyncDispose]()
  await world[Symbol.asyncDispose]()
}, 20_000)

interface Answer {
  status: number
  etag: string | null
  link: string | null
  text: string
}

let hosts = 0

/** @param host another than the server's own has no kept answers. */
const read = async (
  server: { url: string },
  person: Person,
  path: string,
  host?: string,
): Promise<Answer> => {
  const response = await fetch(server.url + path, {
    headers: { Authorization: `Bearer ${person.token}`, ...(host && { Host: host }) },
  })
  const text = (await response.text()).replace(/"requestId":"[^"]+"/, '')
  return {
    status: response.status,
    etag: response.headers.get('etag'),
    link: response.headers.get('link'),
    text,
  }
}

const readNew = (person: Person, path: string): Promise<Answer> =>
  read(other, person, path, `host${(hosts += 1)}.test`)

/** Both servers answer what a new read gives. */
const expectFresh = async (person: Person, path: string): Promise<Answer> => {
  const now = await readNew(person, path)
  for (const server of [other, world])
    expect({ path, ...(await read(server, person, path)) }).toEqual({ path, ...now })
  return now
}

const notify = (userId: string, actorId: string | null, title: string): Promise<unknown> =>
  write(world.server.deps, systemWrite, async (tx) => ({
    value: null,
    entries: await createNotifications(tx, [
      { userId, kind: 'assigned', taskId: null, projectId: null, actorId, data: { title }, dedupeKey: title },
    ]),
  }))

const builtBy = async (work: () => Promise<unknown>): Promise<number> => {
  const before = world.server.deps.kept.counts.built
  await work()
  return world.server.deps.kept.counts.built - before
}

test('an answer is built once, sent again to equal requests, and 304 for its tag', async () => {
  const anna = await world.register()
  const { id } = await world.project(anna)
  for (const path of [
    '/api/tasks',
    `/api/tasks?projectId=${id}&sort=rank&limit=5`,
    '/api/projects?page=1',
    `/api/projects/${id}/members`,
    '/api/notifications',
  ]) {
    const first = await read(world.server, anna, path)
    expect(first.status).toBe(200)
    const again = async () => {
      expect(await read(world.server, anna, path)).toEqual(first)
      const { status } = await world.call('GET', path, {
        token: anna.token,
        headers: { 'If-None-Match': first.etag! },
      })
      expect(status).toBe(304)
    }
    expect([path, await builtBy(again)]).toEqual([path, 0])
  }
})

test('equal requests that arrive together build one answer', async () => {
  const anna = await world.register()
  const many = () => Promise.all(Array.from({ length: 30 }, () => read(world.server, anna, '/api/tasks')))
  expect(await builtBy(many)).toBe(1)
  await world.ask(anna, 'POST', '/api/tasks', { title: 'new' })
  expect(await builtBy(many)).toBe(1)
})

test('answers that change with the clock are not kept', async () => {
  const anna = await world.register()
  const path = '/api/tasks?overdue=true'
  expect(
    await builtBy(async () => [await read(world.server, anna, path), await read(world.server, anna, path)]),
  ).toBe(2)
})

test('a read notification near its retention is not kept', async () => {
  const anna = await world.register()
  await notify(anna.id, null, 'old one')
  await world.ask(anna, 'POST', '/api/notifications/read-all')
  await world.server.deps.db.transact(
    (tx) =>
      tx`update notifications set read_at = now() - interval '89 days 1 hour' where user_id = ${anna.id}`,
  )
  const twice = (path: string) => () =>
    Promise.resolve(read(world.server, anna, path)).then(() => read(world.server, anna, path))
  expect(await builtBy(twice('/api/notifications'))).toBe(2)
  expect(await builtBy(twice('/api/notifications?unread=true'))).toBe(1)
})

describe('a list is fresh on another server right after', () => {
  test('what changes tasks, members, shares and notifications', async () => {
    const { anna, bert, cleo, dora } = await world.people('anna', 'bert', 'cleo', 'dora')
    const admin = await world.registerAdmin()
    const team = await world.project(anna, { editor: bert, viewer: dora })
    const alone = await world.project(anna)
    const task = await world.ask(anna, 'POST', '/api/tasks', {
      title: 'shared one',
      projectId: team.id,
      tags: ['x'],
    })
    const moving = await world.ask(anna, 'POST', '/api/tasks', { title: 'moving', projectId: team.id })
    await world.ask(anna, 'POST', `/api/tasks/${task.id}/shares`, { userId: cleo.id, permission: 'view' })
    await notify(cleo.id, dora.id, 'from dora')
    const comment = await world.ask(dora, 'POST', `/api/tasks/${task.id}/comments`, { body: 'first' })
    await world.ask(dora, 'POST', `/api/tasks/${moving.id}/comments`, { body: 'moving along' })
    const lists = [
      '/api/tasks',
      '/api/tasks?shared=true',
      '/api/tasks?search=shared',
      '/api/tasks?tag=x&sort=title',
      '/api/tasks?page=1&limit=2',
      `/api/tasks?projectId=${team.id}`,
      `/api/tasks?projectId=${alone.id}&sort=rank`,
      '/api/projects',
      '/api/projects?archived=true',
      `/api/projects/${team.id}/members`,
      `/api/projects/${team.id}/members?limit=1`,
      `/api/tasks/${task.id}/shares`,
      `/api/tasks/${moving.id}/shares`,
      `/api/tasks/${task.id}/comments`,
      `/api/tasks/${moving.id}/comments?page=1`,
      '/api/notifications',
      '/api/notifications?unread=true&page=1',
    ]
    const all = [anna, bert, cleo, admin].flatMap((person) => lists.map((path) => ({ person, path })))
    const everything = () =>
      Promise.all(
        all.map(async ({ person, path }) => {
          const { status, text } = await expectFresh(person, path)
          return `${status} ${text}`
        }),
      )
    let shown = await everything()
    const changes: [string, Person, string, string, unknown?][] = [
      ['a task is created', bert, 'POST', '/api/tasks', { title: 'third shared', projectId: team.id }],
      [
        'a task is changed',
        bert,
        'PATCH',
        `/api/tasks/${task.id}`,
        { title: 'renamed', assigneeId: cleo.id },
      ],
      ['a comment is written', bert, 'POST', `/api/tasks/${moving.id}/comments`, { body: 'second' }],
      ['a comment is changed', dora, 'PATCH', `/api/comments/${comment.id}`, { body: 'changed' }],
      ['a comment is deleted', anna, 'DELETE', `/api/comments/${comment.id}`],
      ['a comment is written again', dora, 'POST', `/api/tasks/${task.id}/comments`, { body: 'third' }],
      ['tags are added', bert, 'POST', `/api/tasks/${moving.id}/tags`, { tags: ['x'] }],
      [
        'a task is shared',
        anna,
        'POST',
        `/api/tasks/${moving.id}/shares`,
        { userId: cleo.id, permission: 'edit' },
      ],
      [
        'a share is changed',
        anna,
        'PATCH',
        `/api/tasks/${moving.id}/shares/${cleo.id}`,
        { permission: 'view' },
      ],
      ['a task is moved', anna, 'POST', `/api/tasks/${moving.id}/move`, { projectId: alone.id }],
      ['a moved task is changed', anna, 'PATCH', `/api/tasks/${moving.id}`, { description: 'far' }],
      [
        'a member is added',
        anna,
        'POST',
        `/api/projects/${alone.id}/members`,
        { userId: bert.id, role: 'viewer' },
      ],
      ['a role is changed', anna, 'PATCH', `/api/projects/${team.id}/members/${bert.id}`, { role: 'viewer' }],
      ['a member is renamed', bert, 'PATCH', '/api/users/me', { name: 'Robert' }],
      ['a sharee is renamed', cleo, 'PATCH', '/api/users/me', { name: 'Clea' }],
      [
        'a member gets another address',
        bert,
        'PATCH',
        '/api/users/me',
        { email: `other-${bert.email}`, currentPassword: testPassword },
      ],
      ['a project is renamed', anna, 'PATCH', `/api/projects/${team.id}`, { name: 'Gemini' }],
      ['a project is archived', anna, 'POST', `/api/projects/${team.id}/archive`],
      ['a project is restored', anna, 'POST', `/api/projects/${team.id}/unarchive`],
      ['notifications are read', cleo, 'POST', '/api/notifications/read-all'],
      ['a share ends', anna, 'DELETE', `/api/tasks/${moving.id}/shares/${cleo.id}`],
      ['a member is removed', anna, 'DELETE', `/api/projects/${alone.id}/members/${bert.id}`],
      ['a member leaves', bert, 'DELETE', `/api/projects/${team.id}/members/${bert.id}`],
      ['a task is deleted', anna, 'DELETE', `/api/tasks/${moving.id}`],
      ['a project is deleted', anna, 'DELETE', `/api/projects/${alone.id}`],
      ['a member and actor deletes the account', dora, 'DELETE', '/api/users/me', { password: testPassword }],
    ]
    for (const [what, person, method, path, body] of changes) {
      await world.ask(person, method, path, body)
      const now = await everything()
      expect([what, now.some((text, index) => text !== shown[index])]).toEqual([what, true])
      shown = now
    }
  }, 60_000)

  test('the end of access: 404 or an empty list at once', async () => {
    const { anna, bert } = await world.people('anna', 'bert')
    const project = await world.project(anna, { editor: bert })
    const task = await world.ask(anna, 'POST', '/api/tasks', { title: 'secret', projectId: project.id })
    const list = `/api/tasks?projectId=${project.id}`
    const members = `/api/projects/${project.id}/members`
    const single = `/api/tasks/${task.id}`
    for (const server of [world.server, other])
      for (const path of [list, members, single, '/api/tasks'])
        expect((await read(server, bert, path)).status).toBe(200)
    await world.ask(anna, 'DELETE', `${members}/${bert.id}`)
    for (const server of [other, world.server]) {
      for (const path of [list, members, single]) expect((await read(server, bert, path)).status).toBe(404)
      expect((await read(server, bert, '/api/tasks')).text).not.toContain('secret')
    }
  })
})

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e9))

const randomOf = (from: number) => {
  let state = from >>> 0
  const below = (limit: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * limit)
  }
  return { below, any: <T>(list: readonly T[]): T => list[below(list.length)]! }
}

/** Requests in random order; those that are refused (403, 404, 409, 422) are writes that change nothing. */
const randomWrites = (people: Person[], projectIds: string[], taskIds: string[], from: number) => {
  const { any, below } = randomOf(from)
  const project = () => any(projectIds)
  const task = () => any(taskIds)
  const userId = () => any(people).id
  const kinds: (() => [string, string, unknown?])[] = [
    () => ['POST', '/api/tasks', { title: `t${below(99)}`, projectId: project(), tags: [`g${below(3)}`] }],
    () => ['PATCH', `/api/tasks/${task()}`, { title: `t${below(99)}`, status: any(['todo', 'done']) }],
    () => ['PATCH', `/api/tasks/${task()}`, { assigneeId: userId() }],
    () => ['POST', `/api/tasks/${task()}/tags`, { tags: [`g${below(3)}`] }],
    () => ['POST', `/api/tasks/${task()}/move`, { projectId: project() }],
    () => ['POST', `/api/tasks/${task()}/shares`, { userId: userId(), permission: 'view' }],
    () => ['DELETE', `/api/tasks/${task()}/shares/${userId()}`],
    () => ['POST', `/api/tasks/${task()}/comments`, { body: `c${below(99)}` }],
    () => [
      'POST',
      `/api/projects/${project()}/members`,
      { userId: userId(), role: any(['editor', 'viewer']) },
    ],
    () => ['DELETE', `/api/projects/${project()}/members/${userId()}`],
    () => ['POST', `/api/projects/${project()}/${any(['archive', 'unarchive', 'unarchive'])}`],
    () => ['PATCH', '/api/users/me', { name: `Name ${below(99)}` }],
  ]
  return { any, below, next: () => ({ person: any(people), request: any(kinds)() }) }
}

const scene = async () => {
  const people = Object.values(await world.people('anna', 'bert', 'cleo'))
  const [anna, bert, cleo] = people as [Person, Person, Person]
  const projects = [await world.project(anna, { owner: bert }), await world.project(bert, { owner: cleo })]
  const projectIds = projects.map(({ id }) => id)
  const taskIds: string[] = []
  for (const projectId of projectIds)
    for (let n = 0; n < 5; n += 1)
      taskIds.push((await world.ask(bert, 'POST', '/api/tasks', { title: `t${n}`, projectId })).id)
  const lists = [
    '/api/tasks?limit=50',
    '/api/tasks?search=t1&sort=title',
    '/api/tasks?shared=true',
    '/api/tasks?tag=g1&sort=-updatedAt',
    '/api/tasks?assigneeId=me&page=1',
    ...projectIds.flatMap((id) => [`/api/tasks?projectId=${id}&sort=rank`, `/api/projects/${id}/members`]),
    '/api/projects',
    '/api/projects?archived=true',
    ...taskIds.slice(3, 7).flatMap((id) => [`/api/tasks/${id}/shares`, `/api/tasks/${id}/comments`]),
  ]
  return { people, projectIds, taskIds, lists }
}

const send = (server: { url: string }, person: Person, [method, path, body]: [string, string, unknown?]) =>
  fetch(server.url + path, {
    method,
    headers: { Authorization: `Bearer ${person.token}`, 'Content-Type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })

test(`after any writes, wherever, both servers answer as a new read, SEED=${seed}`, async () => {
  const { people, projectIds, taskIds, lists } = await scene()
  const { any, next, below } = randomWrites(people, projectIds, taskIds, seed)
  let done = 0
  const hitsBefore = other.deps.kept.counts.hits
  for (let step = 0; step < 120; step += 1) {
    const { person, request } = next()
    const { status } = await send(any([world.server, other]), person, request)
    expect(status).toBeLessThan(500)
    if (status < 300) done += 1
    await Promise.all(Array.from({ length: 1 + below(3) }, () => expectFresh(any(people), any(lists))))
  }
  expect(done).toBeGreaterThan(10)
  expect(other.deps.kept.counts.hits).toBeGreaterThan(hitsBefore)
}, 60_000)

test(`a list that is read beside writes shows each answered one, SEED=${seed}`, async () => {
  const { people, projectIds, taskIds, lists } = await scene()
  const id = projectIds[0]!
  const isDone = { now: false }
  // Others write whatever they like, except to who may read the project.
  const { next, any } = randomWrites(people, projectIds, taskIds, seed + 1)
  const noise = async () => {
    while (!isDone.now) {
      const { person, request } = next()
      if (!/members|archive/.test(request[1])) await send(any([world.server, other]), person, request)
      await read(any([world.server, other]), any(people), any(lists))
    }
  }
  const writer = async (person: Person, [here, there]: { url: string }[]) => {
    for (let n = 0; n < 25; n += 1) {
      const title = `mine ${person.id} ${n}`
      expect((await send(here!, person, ['POST', '/api/tasks', { title, projectId: id }])).status).toBe(201)
      for (const path of [`/api/tasks?projectId=${id}`, '/api/tasks?limit=20'])
        expect((await read(there!, person, path)).text).toContain(title)
    }
  }
  const running = [noise(), noise()]
  const [anna, bert] = people as [Person, Person]
  await Promise.all([writer(anna, [world.server, other]), writer(bert, [other, world.server])]).finally(
    () => {
      isDone.now = true
    },
  )
  await Promise.all(running)
  for (const person of people) for (const path of lists) await expectFresh(person, path)
}, 60_000)

test('a write beside the building of an answer is seen by the next read', async () => {
  const { anna, bert } = await world.people('anna', 'bert')
  const { id } = await world.project(anna, { viewer: bert })
  const task = await world.ask(anna, 'POST', '/api/tasks', { title: 'one', projectId: id })
  const share = `/api/tasks/${task.id}/shares`
  await notify(anna.id, bert.id, `from bert ${id}`)
  const { reads } = world.server.deps
  const heads = reads.heads.bind(reads)
  const changes: [string, Person, string, string, () => unknown][] = [
    [
      `/api/tasks?projectId=${id}`,
      anna,
      'PATCH',
      `/api/tasks/${task.id}`,
      () => ({ title: Bun.randomUUIDv7() }),
    ],
    [`/api/projects/${id}/members`, bert, 'PATCH', '/api/users/me', () => ({ name: Bun.randomUUIDv7() })],
    [
      `/api/projects/${id}/members`,
      anna,
      'POST',
      `/api/projects/${id}/members`,
      () => ({ email, role: 'viewer' }),
    ],
    [share, anna, 'POST', share, () => ({ email, permission: 'edit' })],
    ['/api/notifications', anna, 'POST', '/api/notifications/read-all', () => undefined],
  ]
  let email = ''
  for (const when of ['before', 'after'] as const)
    for (const [path, person, method, target, bodyOf] of changes) {
      ;({ email } = await world.register())
      if (target.endsWith('read-all')) await notify(anna.id, bert.id, `${when} ${id}`)
      let isWritten = false
      const writeOnce = async () => {
        if (isWritten) return
        isWritten = true
        await world.ask(person, method, target, bodyOf())
      }
      reads.heads = async (...asked) => {
        if (when === 'before') await writeOnce()
        const found = await heads(...asked)
        if (when === 'after') await writeOnce()
        return found
      }
      try {
        await read(world.server, anna, path)
      } finally {
        reads.heads = heads
      }
      expect([path, when, isWritten]).toEqual([path, when, true])
      await expectFresh(anna, path)
    }
})

test('64 requests at once are few statements', async () => {
  const { people, projectIds, taskIds } = await scene()
  const { db } = world.server.deps
  const original = db.read.bind(db)
  const of = db.of.bind(db)
  let statements = 0
  const paths = [
    (n: number) => `/api/tasks/${taskIds[n % taskIds.length]}`,
    (n: number) => `/api/projects/${projectIds[n % 2]}`,
    () => '/api/users/me',
    () => '/api/tasks?limit=3',
  ]
  for (const person of people) await read(world.server, person, '/api/tasks?limit=3')
  db.read = async (work, options) => {
    statements += 1
    return original(work, options)
  }
  db.of = (caller) => {
    statements += 1
    return of(caller)
  }
  try {
    for (const path of paths) {
      statements = 0
      const answers = await Promise.all(
        Array.from({ length: 64 }, (_, n) => read(world.server, people[n % 3]!, path(n))),
      )
      expect(answers.every(({ status }) => status < 500)).toBe(true)
      expect(statements).toBeWithin(1, 17) // one for each turn of the event loop in which some of them arrive
    }
  } finally {
    Object.assign(db, { read: original, of })
  }
})

const actorOf = (userId: string) => ({ userId, role: 'user', credential: { kind: 'system' } }) as const

test('answers that are built at once ask for their own heads afterwards', async () => {
  const scopesOf = new Map<string, string>()
  const mixed: string[] = []
  const reads = {
    heads: async (_caller: string, scopes: readonly string[], id = '') => {
      const known = scopesOf.get(id) ?? scopes.join()
      scopesOf.set(id, known)
      if (known !== scopes.join()) mixed.push(`${known} and ${scopes.join()}`)
      return 'the same'
    },
  }
  const { unsent } = world.server.deps
  const kept = new KeptAnswers({ reads, shared: null, unsent })
  const urls = ['/a', '/b', '/c']
  let begun = 0
  const allBegun = Promise.withResolvers<void>()
  const readAll = () =>
    Promise.all(
      urls.map((url) =>
        kept.answer(actorOf('anna'), url, async () => {
          begun += 1
          if (begun === urls.length) allBegun.resolve()
          await allBegun.promise
          const scopes = [`project:${url}`] as const
          return { response: { status: 200, headers: {}, body: url }, heads: { scopes, heads: 'the same' } }
        }),
      ),
    )
  for (let round = 0; round < 2; round += 1) expect((await readAll()).map(({ body }) => body)).toEqual(urls)
  expect(kept.counts).toMatchObject({ built: 3, hits: 3 })
  expect(mixed).toEqual([])
})

describe('between servers', () => {
  const knowsOther = () =>
    eventually(() => expect(world.server.deps.servers.others).toBeGreaterThan(0), { timeoutMs: 10_000 })

  test('what one has built, the other sends, until a write', async () => {
    await knowsOther()
    const anna = await world.register()
    const path = '/api/tasks?limit=7'
    const first = await read(world.server, anna, path, 'one.test')
    // The answer is given to Redis beside the response.
    await eventually(async () => {
      const before = { ...other.deps.kept.counts }
      expect(await read(other, anna, path, 'one.test')).toEqual(first)
      expect(other.deps.kept.counts.taken + other.deps.kept.counts.hits).toBeGreaterThan(
        before.taken + before.hits,
      )
    })
    const before = { ...other.deps.kept.counts }
    await world.ask(anna, 'POST', '/api/tasks', { title: 'new' })
    expect((await read(other, anna, path, 'one.test')).text).toContain('"new"')
    expect(other.deps.kept.counts).toEqual({ ...before, built: before.built + 1 })
  })

  const answer = (kept: KeptAnswers, userId: string, body: string, role: 'user' | 'admin' = 'user') =>
    kept.answer({ ...actorOf(userId), role }, '/list', async () => {
      const scopes = [`user:${userId}`] as const
      const heads = { scopes, heads: await world.server.deps.reads.heads(userId, scopes) }
      return { response: { status: 200, headers: {}, body }, heads }
    })
  const sharing = (redis: TextStore, others = 1) =>
    new KeptAnswers({
      reads: world.server.deps.reads,
      shared: new SharedAnswers({ redis, servers: { others }, log: world.server.deps.log }),
      unsent: world.server.deps.unsent,
    })
  const store = () => {
    const texts = new Map<string, string>()
    const calls = { get: 0, set: 0 }
    const redis: TextStore = {
      get: async (key) => {
        calls.get += 1
        return texts.get(key) ?? null
      },
      set: async (key, text) => {
        calls.set += 1
        texts.set(key, text)
      },
    }
    return { redis, texts, calls }
  }

  test('another user, another role and a changed scope do not get it', async () => {
    const [anna, bert] = [await world.register(), await world.register()]
    const { redis } = store()
    await answer(sharing(redis), anna.id, 'first')
    expect((await answer(sharing(redis), anna.id, 'second')).body).toBe('first')
    expect((await answer(sharing(redis), bert.id, 'of bert')).body).toBe('of bert')
    expect((await answer(sharing(redis), anna.id, 'of the admin', 'admin')).body).toBe('of the admin')
    await notify(anna.id, null, 'changed')
    expect((await answer(sharing(redis), anna.id, 'third')).body).toBe('third')
  })

  test('without others Redis is not asked; while it is away, once a second', async () => {
    const anna = await world.register()
    const alone = store()
    await answer(sharing(alone.redis, 0), anna.id, 'built')
    expect(alone.calls).toEqual({ get: 0, set: 0 })
    let asked = 0
    const away: TextStore = {
      get: () => {
        asked += 1
        return Promise.reject(new Error('away'))
      },
      set: () => Promise.reject(new Error('away')),
    }
    const kept = sharing(away)
    for (let n = 0; n < 20; n += 1) {
      expect((await answer(kept, anna.id, `built ${n}`)).body).toBe(`built ${n}`)
      await notify(anna.id, null, `changed ${n}`)
    }
    expect(asked).toBeLessThan(20)
  })

  test('a value that is no answer of this key, or too large, is not used', async () => {
    const anna = await world.register()
    const { redis, texts, calls } = store()
    await answer(sharing(redis), anna.id, 'x'.repeat(40_000))
    expect(calls.set).toBe(0)
    await answer(sharing(redis), anna.id, 'small')
    const [slot] = [...texts.keys()]
    for (const broken of ['', '{', '{"key":"other"}']) {
      texts.set(slot!, broken)
      expect((await answer(sharing(redis), anna.id, broken)).body).toBe(broken)
    }
  })
})

test('answers are kept within a bound for each user and one for all', async () => {
  const { reads, unsent } = world.server.deps
  const kept = new KeptAnswers(
    { reads, shared: null, unsent },
    { maxBytes: 100_000, maxBytesPerUser: 30_000, maxPerUser: 10 },
  )
  const anna = await world.register()
  const read = (userId: string, url: string, length: number) =>
    kept.answer(actorOf(userId), url, async () => {
      const scopes = [`user:${userId}`] as const
      const response = { status: 200, headers: {}, body: 'x'.repeat(length) }
      return { response, heads: { scopes, heads: await reads.heads(userId, scopes) } }
    })
  const builds = async (userId: string, url: string): Promise<number> => {
    const { built } = kept.counts
    await read(userId, url, 100)
    return kept.counts.built - built
  }
  for (let n = 0; n < 20; n += 1) await read(anna.id, `/${n}`, 100)
  expect([await builds(anna.id, '/19'), await builds(anna.id, '/9')]).toEqual([0, 1])
  for (let n = 0; n < 20; n += 1) {
    await read(anna.id, `/large/${n}`, 3_000)
    expect(kept.bytes).toBeLessThanOrEqual(30_000)
  }
  for (let n = 0; n < 30; n += 1) {
    const userId = Bun.randomUUIDv7()
    for (let m = 0; m < 5; m += 1) await read(userId, `/${m}`, 3_000)
    expect(kept.bytes).toBeLessThanOrEqual(100_000)
  }
  await read(anna.id, '/huge', 200_000)
  expect(kept.bytes).toBeLessThanOrEqual(100_000)
})
