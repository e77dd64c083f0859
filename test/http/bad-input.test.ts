// Invalid input, sent to every route that reads it: refused with a 4xx that names the place and the rule,
// never echoed, never half taken, and never a 5xx.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { Problem } from '../../src/model/problem.ts'
import { cpuMsOf } from '../support/cpu-time.ts'
import { routesOf, type Route } from '../support/routes.ts'
import { startWorld, type Answer, type Person, type World } from '../support/world.ts'

let world: World
let person: Person
/** For the routes of administrators, which check who asks before what. */
let admin: Person
let routes: Route[]
let writing: Route[]

beforeAll(async () => {
  world = await startWorld()
  person = await world.register()
  admin = await world.registerAdmin()
  routes = await routesOf(world)
  writing = routes.filter((route) => route.takesBody && route.readsJson)
})

afterAll(() => world[Symbol.asyncDispose](), 20_000)

const send = (
  { method, path, isGuarded }: Route,
  body: string,
  contentType = 'application/json',
): Promise<Answer<Problem>> =>
  world.call<Problem>(method, path, {
    ...(isGuarded && { token: person.token }),
    body,
    headers: { 'Content-Type': contentType },
  })

/** Sends to every route that reads a body and expects one answer of all; nothing may have been written. */
const expectOfAll = async (
  body: string,
  status: number,
  code: string,
  contentType?: string,
): Promise<void> => {
  const before = await world.entryCount()
  expect(writing.length).toBeGreaterThan(10)
  const wrong: string[] = []
  for (const route of writing) {
    const answer = await send(route, body, contentType)
    if (answer.status !== status || answer.body.code !== code)
      wrong.push(`${route.method} ${route.template}: ${answer.status} ${answer.body.code}`)
  }
  expect(wrong).toEqual([])
  expect(await world.entryCount()).toBe(before)
}

describe('a body that is not JSON', () => {
  for (const body of [
    '{',
    '{"a":1,}',
    "{'a':1}",
    '{"a":NaN}',
    'undefined',
    '{"a":1}{"b":2}',
    '[1,2',
    '\u{feff}{',
    '{"a":"\n"}',
    '0x10',
    '\u0000',
  ])
    test(`is malformed everywhere: ${JSON.stringify(body)}`, () => expectOfAll(body, 400, 'malformed_json'))

  test('because it is not UTF-8 is malformed', async () => {
    for (const bytes of [
      [0xff, 0xfe],
      [0x22, 0xc3, 0x28, 0x22],
      [0x22, 0xed, 0xa0, 0x80, 0x22],
    ]) {
      const response = await fetch(`${world.url}/api/projects`, {
        method: 'POST',
        headers: { Authorization: `Bearer ${person.token}`, 'Content-Type': 'application/json' },
        body: new Uint8Array(bytes),
      })
      expect(response.status).toBe(400)
      expect(await response.json()).toMatchObject({ code: 'malformed_json' })
    }
  })
})

describe('a body of the wrong kind', () => {
  for (const [type, body] of [
    ['text/plain', '{"name":"x"}'],
    ['application/x-www-form-urlencoded', 'name=x'],
    [
      'multipart/form-data; boundary=b',
      '--b\r\nContent-Disposition: form-data; name="name"\r\n\r\nx\r\n--b--\r\n',
    ],
    ['application/xml', '<name/>'],
    ['application/octet-stream', '{}'],
    ['application/json5', '{}'],
    ['text/json', '{}'],
  ] as const)
    test(`is not read: ${type}`, () => expectOfAll(body, 415, 'unsupported_media_type', type))

  for (const body of ['[]', '[1]', '"text"', '1', 'true'])
    test(`is refused where an object belongs: ${body}`, () => expectOfAll(body, 422, 'validation_failed'))

  test('is refused when a merge patch meets another method', async () => {
    const answer = await world.call('POST', '/api/projects', {
      token: person.token,
      body: { name: 'x' },
      headers: { 'Content-Type': 'application/merge-patch+json' },
    })
    expect(answer.status).toBe(415)
  })

  test('is read with a charset and in capitals, because the type is the same', async () => {
    const answer = await world.call('POST', '/api/projects', {
      token: person.token,
      body: { name: 'x' },
      headers: { 'Content-Type': 'Application/JSON; charset=UTF-8' },
    })
    expect(answer.status).toBe(201)
  })
})

describe('a body that is too large', () => {
  const large = `{"name":"${'x'.repeat(1024 * 1024)}"}`

  test('is 413 everywhere', () => expectOfAll(large, 413, 'payload_too_large'))

  test('is counted on the stream where no length is given', async () => {
    const chunk = new TextEncoder().encode('x'.repeat(64 * 1024))
    let sent = 0
    const body = new ReadableStream({
      pull(controller) {
        sent += 1
        if (sent > 64) controller.close()
        else controller.enqueue(chunk)
      },
    })
    const response = await fetch(`${world.url}/api/projects`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${person.token}`, 'Content-Type': 'application/json' },
      body,
    })
    expect(response.status).toBe(413)
    expect(await response.json()).toMatchObject({ code: 'payload_too_large' })
  })

  test('of exactly the limit is read', async () => {
    const frame = '{"name":"x","description":""}'
    const padded = frame.replace('{', `{${' '.repeat(1024 * 1024 - frame.length)}`)
    const answer = await world.call('POST', '/api/projects', { token: person.token, body: padded })
    expect(answer.status).toBe(201)
  })
})

describe('a body with unknown members', () => {
  test('is refused at the field, whatever the field is called', async () => {
    for (const route of writing)
      for (const name of ['nobodyKnowsThis', '__proto__', 'constructor', 'toString', 'a/b~c']) {
        const answer = await send(route, `{${JSON.stringify(name)}: {"polluted": true}}`)
        expect({ route: route.template, name, status: answer.status }).toEqual({
          route: route.template,
          name,
          status: 422,
        })
      }
    expect(Reflect.get({}, 'polluted')).toBeUndefined()
  })

  test('names the field in an RFC 6901 pointer and echoes no value', async () => {
    const { status, body } = await world.call<Problem>('POST', '/api/projects', {
      token: person.token,
      body: { name: 'x', 'a/b~c': 'planted' },
    })
    expect(status).toBe(422)
    expect(body.errors).toEqual([{ pointer: '/a~1b~0c', detail: 'is unknown here' }])
    expect(JSON.stringify(body)).not.toContain('planted')
  })

  test('cannot set what only the server sets', async () => {
    const { token } = person
    const made = await world.call('POST', '/api/projects', { token, body: { name: 'Mine' } })
    for (const field of [
      'id',
      'version',
      'createdAt',
      'updatedAt',
      'role',
      'kind',
      'memberCount',
      'archivedAt',
    ]) {
      const answer = await world.call<Problem>('PATCH', `/api/projects/${made.body.id}`, {
        token,
        body: { name: 'Changed', [field]: made.body[field] },
      })
      expect(answer.status).toBe(422)
      expect(answer.body.errors).toEqual([{ pointer: `/${field}`, detail: 'is unknown here' }])
    }
    const after = await world.call('GET', `/api/projects/${made.body.id}`, { token })
    expect(after.body).toEqual(made.body)
  })

  test('or with it twice counts once, the last time', async () => {
    const { status, body } = await world.call('POST', '/api/projects', {
      token: person.token,
      body: '{"name":"first","name":"second"}',
    })
    expect({ status, name: body.name }).toEqual({ status: 201, name: 'second' })
  })

  test('nested a hundred thousand deep is refused and harms nothing', async () => {
    for (const [open, close] of [
      ['[', ']'],
      ['{"a":', '}'],
    ] as const) {
      const depth = 100_000
      const body = `{"name":${open.repeat(depth)}1${close.repeat(depth)}}`
      for (const route of writing) {
        const { status } = await send(route, body)
        expect({ route: route.template, refused: status >= 400 && status < 500 }).toEqual({
          route: route.template,
          refused: true,
        })
      }
    }
    expect((await world.call('GET', '/livez')).status).toBe(200)
  }, 30_000)
})

describe('an invalid value', () => {
  const values: [string, unknown][] = [
    ['NUL', 'a\0b'],
    ['a lone surrogate', 'a\ud800b'],
    ['nothing but spaces', '   '],
    ['a number', 7],
    ['an object', {}],
    ['an array', ['x']],
    ['null', null],
    ['101 characters', 'x'.repeat(101)],
  ]
  for (const [what, name] of values)
    test(`is refused as a name: ${what}`, async () => {
      const { status, body } = await world.call<Problem>('POST', '/api/projects', {
        token: person.token,
        body: { name },
      })
      expect({ status, pointers: body.errors?.map(({ pointer }) => pointer) }).toEqual({
        status: 422,
        pointers: ['/name'],
      })
    })

  test('is counted in code points, so that a hundred emoji are a name', async () => {
    const name = '🦊'.repeat(100)
    const answer = await world.call('POST', '/api/projects', { token: person.token, body: { name } })
    expect({ status: answer.status, name: answer.body.name }).toEqual({ status: 201, name })
  })

  test('is refused as a date that no calendar has', async () => {
    for (const dueAt of [
      '2026-02-30T10:00:00Z',
      '2026-11-20',
      '20.11.2026',
      '2026-11-20T24:00:00Z',
      '2026-11-20T10:00:00',
      '',
      0,
    ]) {
      const { status } = await world.call('POST', '/api/tasks', {
        token: person.token,
        body: { title: 'x', dueAt },
      })
      expect({ dueAt, status }).toEqual({ dueAt, status: 422 })
    }
  })

  test('is refused where a number overflows', async () => {
    const answer = await world.call('POST', '/api/tasks', { token: person.token, body: '{"title":1e400}' })
    expect(answer.status).toBe(422)
  })

  test('lists at most twenty errors', async () => {
    const body = Object.fromEntries(Array.from({ length: 500 }, (_, n) => [`field${n}`, n]))
    const answer = await world.call<Problem>('POST', '/api/projects', { token: person.token, body })
    expect(answer.body.errors?.length).toBe(20)
    expect(JSON.stringify(answer.body).length).toBeLessThan(4_000)
  })
})

test('a body of a route that reads none is refused for what it has', async () => {
  for (const { method, path, isGuarded, takesBody, traits } of routes) {
    if (takesBody || method === 'GET') continue
    const { status, body } = await world.call<Problem>(method, path, {
      ...(isGuarded && { token: (traits.access === 'admin' ? admin : person).token }),
      body: { upTo: 'here' },
    })
    expect({ method, path, status }).toEqual({ method, path, status: 422 })
    expect(body.errors).toEqual([{ pointer: '/upTo', detail: 'is unknown here' }])
  }
})

describe('a query', () => {
  test('with a parameter a route does not know is refused by every route', async () => {
    for (const { method, path, isGuarded, readsJson, template, traits } of routes) {
      if (template === '/api/ws') continue
      const { status, body } = await world.call<Problem>(method, `${path}?limitt=5`, {
        ...(isGuarded && { token: (traits.access === 'admin' ? admin : person).token }),
        ...(method !== 'GET' && readsJson && { body: {} }),
      })
      // What a route needs and lacks may be named first.
      expect({ method, path, status: status === 422 ? 400 : status }).toEqual({ method, path, status: 400 })
      if (status === 400) expect(body.code).toBe('unknown_parameter')
    }
  })

  test('with a limit out of bounds, written oddly or given twice is refused', async () => {
    for (const query of [
      'limit=0',
      'limit=101',
      'limit=-1',
      'limit=1e1',
      'limit=0x10',
      'limit=1.0',
      'limit=',
      'limit=%205',
      'limit=05',
      'limit=1&limit=2',
      'limit=1000000000000000000000',
    ]) {
      const answer = await world.call<Problem>('GET', `/api/projects?${query}`, { token: person.token })
      expect({ query, status: answer.status }).toEqual({ query, status: 422 })
      expect(answer.body.errors?.[0]?.pointer).toBe('/limit')
    }
  })

  test('with more than 200 parameters is refused before it is read, on every route', async () => {
    const tooMany = [
      'a&'.repeat(200),
      'a=1&'.repeat(200),
      Array.from({ length: 201 }, (_, n) => `p${n}=`).join('&'),
    ]
    for (const { method, path, isGuarded, traits } of routes.filter(({ template }) => template !== '/api/ws'))
      for (const query of tooMany) {
        const { status, body } = await world.call<Problem>(method, `${path}?${query}`, {
          ...(isGuarded && { token: (traits.access === 'admin' ? admin : person).token }),
          ...(method !== 'GET' && { body: {} }),
        })
        expect({ method, path, status, code: body.code }).toEqual({
          method,
          path,
          status: 400,
          code: 'bad_request',
        })
      }
    const most = await world.call('GET', `/livez?${'a&'.repeat(199)}a`)
    expect(most.body.code).toBe('unknown_parameter')
  })

  test('of 7,500 parameters costs less than 5 ms of CPU', async () => {
    const cost = (query: string) =>
      cpuMsOf(async () => expect((await world.call('GET', `/livez?${query}`)).status).toBe(400), {
        times: 20,
      })
    // Beyond what any request costs here, client and background work included.
    const plain = await cost('a')
    expect((await cost('a&'.repeat(7_500))) - plain).toBeLessThan(5)
  })

  test('with a name from the prototype is unknown like any other', async () => {
    for (const name of ['__proto__', 'constructor', 'hasOwnProperty'])
      expect(await world.call('GET', `/api/projects?${name}=1`, { token: person.token })).toMatchObject({
        status: 400,
      })
  })
})

describe('an id in a path', () => {
  test('that cannot be one is 404, like one that names nothing', async () => {
    for (const id of [
      '1',
      'x',
      'null',
      '01933B6E-7C4A-7D3E-8F21-000000000000',
      '01933b6e-7c4a-7d3e-8f21-00000000000',
      '%00',
      '%27%20or%201=1',
      '..%2f',
      '{}',
      'a'.repeat(5_000),
    ]) {
      const answer = await world.call<Problem>('GET', `/api/projects/${id}`, { token: person.token })
      expect({ id, status: answer.status, code: answer.body.code }).toEqual({
        id,
        status: 404,
        code: 'not_found',
      })
    }
  })
})

describe('a header', () => {
  const patch = async (headers: Record<string, string>) => {
    const made = await world.call('POST', '/api/projects', { token: person.token, body: { name: 'x' } })
    return world.call<Problem>('PATCH', `/api/projects/${made.body.id}`, {
      token: person.token,
      body: { name: 'y' },
      headers,
    })
  }

  test('If-Match that is no tag of ours fails its condition', async () => {
    for (const value of [
      '1',
      '"x"',
      '""',
      '',
      ',',
      '"9", "x"',
      '"9999999999999999"',
      '"1',
      '"1""2"',
      "'1'",
      'W/1',
    ])
      expect({ value, status: (await patch({ 'If-Match': value })).status }).toEqual({ value, status: 412 })
  })

  test('Idempotency-Key that is no key is refused', async () => {
    for (const value of ['', 'a b', 'x'.repeat(256), 'é'])
      expect({ value, status: (await patch({ 'Idempotency-Key': value })).status }).toEqual({
        value,
        status: 400,
      })
  })
})
