// Seed 001, "Task Management API" of an article: its three integration tests, its fields and limits, refresh rotation, list
// filters, uniform errors and limits on sign-in, and the faults of its code as never happening here.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { Task } from '../../src/model/task.ts'
import { newId } from '../../src/model/scalar.ts'
import { startProgram } from '../support/program.ts'
import { startWorld, testPassword, type Answer, type Person, type World } from '../support/world.ts'

let world: World
let ada: Person
let bob: Person

beforeAll(async () => {
  world = await startWorld()
  ;({ ada, bob } = await world.people('ada', 'bob'))
}, 60_000)

afterAll(() => world?.[Symbol.asyncDispose](), 30_000)

const as = <T = any>(person: Person, method: string, path: string, body?: unknown): Promise<Answer<T>> =>
  world.call<T>(method, path, { token: person.token, ...(body !== undefined && { body }) })

const refresh = (refreshToken: string) => world.call('POST', '/api/auth/refresh', { body: { refreshToken } })

describe('its integration tests', () => {
  test('POST /api/tasks creates a task', async () => {
    const answer = await as(ada, 'POST', '/api/tasks', { title: 'Build API', priority: 'high' })
    expect(answer).toMatchObject({
      status: 201,
      body: { title: 'Build API', priority: 'high', status: 'todo' },
    })
  })

  test('GET /api/tasks requires authentication', async () => {
    const answer = await world.call('GET', '/api/tasks')
    expect(answer).toMatchObject({ status: 401, body: { code: 'unauthenticated' } })
    expect(answer.headers.get('www-authenticate')).toBe('Bearer')
  })

  test("GET /api/tasks returns the user's tasks, with the total on numbered pages", async () => {
    const { body } = await as(ada, 'GET', '/api/tasks?page=1')
    expect(body.items).toBeInstanceOf(Array)
    expect(body).toHaveProperty('total')
    expect(body.total).toBe(body.items.length)
    expect((await as(ada, 'GET', '/api/tasks')).body).not.toHaveProperty('total')
  })
})

describe('users and tokens', () => {
  test('a user is shown without password, an address is taken once, sign-in has one refusal', async () => {
    const { id: _id, ...shown } = ada.session.user
    expect(shown).toMatchObject({ name: 'ada', email: ada.email, role: 'user' })
    expect(JSON.stringify(ada.session)).not.toMatch(/password|argon2|\$2b/i)
    const taken = { name: 'Other', email: ada.email.toUpperCase(), password: testPassword }
    expect(await world.call('POST', '/api/auth/register', { body: taken })).toMatchObject({
      status: 409,
      body: { code: 'email_taken' },
    })
    const signIn = (email: string) =>
      world.call('POST', '/api/auth/login', { body: { email, password: 'wrong password' } })
    const [wrong, unknown] = [await signIn(ada.email), await signIn('nobody@example.com')]
    expect([wrong.status, wrong.body.code]).toEqual([401, 'invalid_credentials'])
    expect({ ...unknown.body, requestId: '' }).toEqual({ ...wrong.body, requestId: '' })
  })

  test.each([
    ['a name of 101 characters', { name: 'a'.repeat(101) }, '/name'],
    ['an address of 255 characters', { email: `${'a'.repeat(243)}@example.com` }, '/email'],
    ['a password of 7 characters', { password: 'aB3$xyz' }, '/password'],
    ['a role', { role: 'admin' }, '/role'],
  ])('%s is 422', async (_what, fields, pointer) => {
    const body = { name: 'New', email: `${newId()}@example.com`, password: testPassword, ...fields }
    const answer = await world.call('POST', '/api/auth/register', { body })
    expect(answer).toMatchObject({ status: 422, body: { code: 'validation_failed', errors: [{ pointer }] } })
  })

  test('two concurrent refreshes of one token do not make two sessions; later reuse ends the family', async () => {
    const eve = await world.register('Eve')
    const { refreshToken } = eve.session
    const answers = await Promise.all(Array.from({ length: 8 }, () => refresh(refreshToken)))
    expect(new Set(answers.map(({ body }) => body.refreshToken)).size).toBe(1)
    const successor = answers[0]!.body.refreshToken
    const newest = (await refresh(successor)).body
    await world.server.deps.db.transact(
      (tx) =>
        tx`update refresh_tokens set spent_at = spent_at - interval '11 seconds' where spent_at is not null`,
    )
    expect(await refresh(refreshToken)).toMatchObject({ status: 401, body: { code: 'refresh_reused' } })
    expect((await refresh(newest.refreshToken)).status).toBe(401)
    expect((await world.call('GET', '/api/tasks', { token: newest.accessToken })).status).toBe(401)
  })

  test('sign-in is limited to 10 failures in 15 minutes', async () => {
    await using limited = await startWorld({ rateLimit: true, failedSignInsPer15Minutes: 10 })
    const { email } = await limited.register()
    // From elsewhere than where the account signed in: an address of its own has a bucket of its own.
    await limited.server.deps.db.transact((tx) => tx`update sessions set ip = '198.51.100.9'`)
    const statuses: number[] = []
    for (let n = 0; n < 11; n += 1) {
      const { status } = await limited.call('POST', '/api/auth/login', {
        body: { email, password: `wrong ${n}` },
      })
      statuses.push(status)
    }
    expect(statuses).toEqual([...Array<number>(10).fill(401), 429])
  }, 30_000)
})

describe('tasks', () => {
  test.each([
    ['an empty title', { title: '' }, '/title'],
    ['a title of 256 characters', { title: 'a'.repeat(256) }, '/title'],
    ['an upper-case priority', { priority: 'HIGH' }, '/priority'],
    ['an unknown status', { status: 'OVERDUE' }, '/status'],
    ['a date that does not exist', { dueAt: '2026-02-30T00:00:00Z' }, '/dueAt'],
    ['a field of the seed', { dueDate: '2026-02-20T00:00:00Z' }, '/dueDate'],
    ['a foreign owner', { creatorId: newId() }, '/creatorId'],
  ])('%s is 422, never 200 and never stored', async (_what, fields, pointer) => {
    const before = (await as(ada, 'GET', '/api/tasks?page=1')).body.total
    const answer = await as(ada, 'POST', '/api/tasks', { title: 'New', ...fields })
    expect(answer).toMatchObject({ status: 422, body: { code: 'validation_failed', errors: [{ pointer }] } })
    expect((await as(ada, 'GET', '/api/tasks?page=1')).body.total).toBe(before)
  })

  test('a partial change is PATCH; a due time is set and taken away', async () => {
    const { body: task } = await as<Task>(ada, 'POST', '/api/tasks', {
      title: 'Due',
      dueAt: '2030-01-01T10:00:00+02:00',
    })
    expect(task.dueAt).toBe('2030-01-01T08:00:00.000Z')
    const path = `/api/tasks/${task.id}`
    const changed = await as(ada, 'PATCH', path, { status: 'in_progress', dueAt: null })
    expect(changed).toMatchObject({ status: 200, body: { title: 'Due', status: 'in_progress', dueAt: null } })
  })

  test('filters and pages: each answer is that of its own parameters, also the second time', async () => {
    const cleo = await world.register('Cleo')
    for (let n = 0; n < 6; n += 1) {
      const fields = { priority: n % 2 ? 'urgent' : 'low', status: n < 2 ? 'done' : 'todo' }
      await as(cleo, 'POST', '/api/tasks', { title: `Task ${n}`, ...fields })
    }
    // The seed's cache key left `limit` out, so that one limit was answered with another's page.
    const queries: [string, number, number][] = [
      ['page=1&limit=2', 2, 6],
      ['page=1&limit=4', 4, 6],
      ['page=2&limit=4', 2, 6],
      ['page=1&status=done', 2, 2],
      ['page=1&status=done&priority=urgent', 1, 1],
      ['page=1&priority=urgent', 3, 3],
    ]
    for (let round = 0; round < 2; round += 1) {
      for (const [query, items, total] of queries) {
        const { body } = await as(cleo, 'GET', `/api/tasks?${query}`)
        expect([query, body.items.length, body.total]).toEqual([query, items, total])
      }
    }
    const task = (await as(cleo, 'GET', '/api/tasks?status=done')).body.items[0]
    await as(cleo, 'DELETE', `/api/tasks/${task.id}`)
    expect((await as(cleo, 'GET', '/api/tasks?page=1&status=done')).body.total).toBe(1)
    expect((await as(cleo, 'GET', '/api/tasks?limit=101')).status).toBe(422)
  })

  test("another user's task is 404, equal to one that does not exist: the seed leaked ids by 403", async () => {
    const { body: task } = await as<Task>(ada, 'POST', '/api/tasks', { title: 'Private' })
    for (const [method, body] of [['GET'], ['PATCH', { title: 'Mine' }], ['DELETE']] as const) {
      const theirs = await as(bob, method, `/api/tasks/${task.id}`, body)
      const none = await as(bob, method, `/api/tasks/${newId()}`, body)
      const comparable = ({ status, body: problem }: Answer<any>) => ({
        status,
        ...problem,
        instance: '',
        requestId: '',
      })
      expect(comparable(theirs)).toEqual(comparable(none))
      expect(theirs.status).toBe(404)
    }
    expect((await as(ada, 'GET', `/api/tasks/${task.id}`)).body.title).toBe('Private')
  })
})

describe('errors', () => {
  test.each<[string, string, string, string | undefined, number]>([
    ['an unknown path', 'GET', '/api/nothing', undefined, 404],
    ['an unknown method', 'DELETE', '/api/tasks', undefined, 405],
    ['malformed JSON', 'POST', '/api/tasks', '{"title":', 400],
    ['an id that is none', 'GET', '/api/tasks/1', undefined, 404],
    ['an unknown parameter', 'GET', '/api/tasks?stauts=done', undefined, 400],
  ])('%s has the one body, with the id of the request', async (_what, method, path, body, status) => {
    const answer = await world.call(method, path, {
      token: ada.token,
      headers: { 'X-Request-Id': 'seed-001' },
      ...(body !== undefined && { body }),
    })
    expect(answer.status).toBe(status)
    expect(answer.headers.get('content-type')).toBe('application/problem+json')
    expect(answer.headers.get('x-request-id')).toBe('seed-001')
    expect(answer.body).toMatchObject({ status, requestId: 'seed-001', code: expect.any(String) })
    expect(JSON.stringify(answer.body)).not.toMatch(/at .*\.ts|select |node_modules/)
  })
})

test('health answers, migrations run at the start of a process, and SIGTERM ends it in order', async () => {
  expect((await world.call('GET', '/livez')).status).toBe(200)
  expect((await world.call('GET', '/readyz')).body.status).toBe('up')
  const program = await startProgram(world, { args: ['server'] })
  expect((await fetch(`${program.url}/health`)).status).toBe(200)
  process.kill(program.pid, 'SIGTERM')
  expect(await program.exited).toBe(0)
  await program[Symbol.asyncDispose]()
}, 60_000)
