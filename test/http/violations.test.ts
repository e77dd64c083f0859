// Details of refused requests: every detail is a text of this API, for every schema of every route, and a malformed
// cursor has one code everywhere.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { Kind, type TSchema } from '@sinclair/typebox'
import { violationsIn } from '../../src/http/violations.ts'
import type { Problem } from '../../src/model/problem.ts'
import { optionalFields, requiredFields } from '../../src/model/task-fields.ts'
import { parseFrame } from '../../src/ws/protocol.ts'
import { routesOf, type Route } from '../support/routes.ts'
import { startWorld, type Answer, type Person, type World } from '../support/world.ts'

let world: World
let person: Person
let routes: Route[]

beforeAll(async () => {
  world = await startWorld()
  person = await world.register()
  routes = await routesOf(world)
})

afterAll(() => world[Symbol.asyncDispose](), 20_000)

const send = (route: Route, body: unknown): Promise<Answer<Problem>> =>
  world.call<Problem>(route.method, route.path, {
    ...(route.isGuarded && { token: person.token }),
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })

/** Requests in flight: there are thousands. */
const atOnce = 16

const odd: unknown[] = [
  null,
  true,
  7,
  1.5,
  -1,
  1e300,
  '',
  ' ',
  'x',
  '#12345G',
  'x'.repeat(20_000),
  {},
  [],
  [[]],
]

/** Values that break the schema somewhere, at most one place each where it has parts. */
function* wrongValues(schema: TSchema): Generator {
  yield* odd
  if (schema[Kind] === 'Union') for (const option of schema['anyOf']) yield* wrongValues(option)
  if (schema[Kind] === 'Array') {
    for (const item of wrongValues(schema['items'])) yield [item]
    yield Array.from({ length: 101 }, () => 'x')
  }
  if (schema[Kind] === 'Object')
    for (const [name, inner] of Object.entries<TSchema>(schema['properties']))
      for (const value of wrongValues(inner)) yield { [name]: value, 'a/b~c': 1 }
}

const ourWords =
  /^(is required|is unknown here|must (be|have|not|name|contain) |does not |is not the current|would )/
const libraryWords = /expected|union|schema|property|properties|\bkind\b|undefined|NaN|Infinity|\[object/i

const expectOurWords = (where: string, details: string[]): void => {
  const wrong = details.filter((detail) => !ourWords.test(detail) || libraryWords.test(detail))
  expect({ where, wrong }).toEqual({ where, wrong: [] })
}

describe('the details of a 422', () => {
  test('have a text of the API for every broken rule of every body', async () => {
    const writing = routes.filter(({ takesBody }) => takesBody)
    expect(writing.length).toBeGreaterThan(15)
    for (const route of writing) {
      const where = `${route.method} ${route.template}`
      const bodies = [undefined, ...wrongValues(route.schemas.body!)]
      const check = async (body: unknown): Promise<void> => {
        const { status, body: problem } = await send(route, body)
        expect({ where, refused: status < 500 }).toEqual({ where, refused: true })
        if (status === 422)
          expectOurWords(
            where,
            (problem.errors ?? []).map(({ detail }) => detail),
          )
        if (status === 422)
          expect({ where, listed: problem.errors !== undefined }).toEqual({ where, listed: true })
      }
      for (let from = 0; from < bodies.length; from += atOnce)
        await Promise.all(bodies.slice(from, from + atOnce).map(check))
    }
  }, 60_000)

  test('have a text of the API for every broken rule of every query', () => {
    for (const { method, template, schemas } of routes)
      if (schemas.query)
        for (const value of wrongValues(schemas.query))
          expectOurWords(
            `${method} ${template}`,
            violationsIn(schemas.query, value).map(({ detail }) => detail),
          )
  })

  const expectDetail = async (
    method: string,
    path: string,
    body: unknown,
    pointer: string,
    detail: string,
  ) => {
    const answer = await world.call<Problem>(method, path, {
      token: person.token,
      ...(body !== undefined && { body }),
    })
    expect({ status: answer.status, errors: answer.body.errors }).toEqual({
      status: 422,
      errors: [{ pointer, detail }],
    })
  }

  test('name what is allowed', async () => {
    const task = await world.call('POST', '/api/tasks', { token: person.token, body: { title: 'x' } })
    const bulk = '/api/tasks/bulk'
    const changes = { status: 'done' }
    await expectDetail('PATCH', bulk, { ids: [], changes }, '/ids', 'must have at least 1 item')
    await expectDetail(
      'POST',
      `/api/tasks/${task.body.id}/move`,
      undefined,
      '',
      'is required: send a JSON object',
    )
    await expectDetail(
      'POST',
      '/api/projects',
      { name: 'x', color: 'blue' },
      '/color',
      'must be a colour such as #1e90ff: # and six hexadecimal digits or null',
    )
    await expectDetail(
      'PATCH',
      `/api/tasks/${task.body.id}`,
      {},
      '',
      `must have at least one of ${[...requiredFields, ...optionalFields].join(', ')}`,
    )
    await expectDetail('PATCH', `/api/tasks/${task.body.id}`, { tags: ['ok', 7] }, '/tags/1', 'must be text')
    const both = await world.call<Problem>('GET', '/api/tasks?assigneeId=x', { token: person.token })
    expect(both.body.errors?.[0]?.detail).toMatch(/UUID.* or one of me, none$/)
  })
})

test('a colour is read in either case and kept in one', async () => {
  const { token } = person
  const made = await world.call('POST', '/api/projects', { token, body: { name: 'x', color: '#1E90FF' } })
  expect(made.body.color).toBe('#1e90ff')
  const path = `/api/projects/${made.body.id}`
  const same = await world.call('PATCH', path, { token, body: { color: '#1e90fF' } })
  expect({ color: same.body.color, version: same.body.version }).toEqual({ color: '#1e90ff', version: 1 })
  const other = await world.call('PATCH', path, { token, body: { color: '#ABCDEF' } })
  expect({ color: other.body.color, version: other.body.version }).toEqual({ color: '#abcdef', version: 2 })
})

describe('a malformed cursor', () => {
  const cursors = ['cursor=', `cursor=${'x'.repeat(9_000)}`, 'cursor=x', 'cursor=a&cursor=b']

  test('is 400 bad_cursor on every list', async () => {
    const lists = routes.filter(({ schemas }) => schemas.query?.['properties']?.cursor?.[Kind] === 'Cursor')
    expect(lists.length).toBeGreaterThan(4)
    for (const { template, schemas } of lists)
      for (const cursor of cursors) {
        const required: string[] = schemas.query?.['required'] ?? []
        const given = [...required.map((name) => `${name}=a`), cursor].join('&')
        const { status, body } = await world.call<Problem>(
          'GET',
          `${template.replace('/api/projects/:id', `/api/projects/${person.inboxId}`).replace(':id', person.inboxId)}?${given}`,
          { token: person.token },
        )
        expect({ template, cursor: cursor.slice(0, 20), status, code: body.code }).toEqual({
          template,
          cursor: cursor.slice(0, 20),
          status: 400,
          code: 'bad_cursor',
        })
      }
  })

  test('is bad_frame on the socket', () => {
    for (const cursor of ['', 'x'.repeat(5_000), 7])
      expect(parseFrame(JSON.stringify({ t: 'sub', rid: 1, scope: 'user:me', cursor }))).toEqual({
        t: 'bad',
        code: 'bad_frame',
        rid: 1,
      })
  })

  test('is 400 bad_cursor for the log and for pages of a snapshot', async () => {
    for (const path of [
      '/api/sync?scope=user:me&cursor=',
      `/api/sync?scope=user:me&cursor=${'1'.repeat(5_000)}`,
      '/api/sync?scope=user:me&cursor=x',
      `/api/projects/${person.inboxId}/snapshot?after=`,
      `/api/projects/${person.inboxId}/snapshot?after=${'x'.repeat(201)}`,
    ]) {
      const { status, body } = await world.call<Problem>('GET', path, { token: person.token })
      expect({ path, status, code: body.code }).toEqual({ path, status: 400, code: 'bad_cursor' })
    }
  })
})
