// Compressed answers: which are, by what, with which tag, and which never are.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { gunzipSync } from 'node:zlib'
import { preferredIn } from '../../src/http/encode.ts'
import { startWorld, testPassword, type Person, type World } from '../support/world.ts'

let world: World
let person: Person
let large: string
let small: string

beforeAll(async () => {
  world = await startWorld()
  person = await world.register()
  const create = (description: string) => world.ask(person, 'POST', '/api/tasks', { title: 'a', description })
  large = `/api/tasks/${(await create('Wörter und ihre Länge '.repeat(60))).id}`
  small = `/api/tasks/${(await create('short')).id}`
})

afterAll(() => world[Symbol.asyncDispose]())

/** As it comes over the wire. */
const raw = async (
  path: string,
  accept: string | null,
  init: { method?: string; body?: string; headers?: Record<string, string> } = {},
) => {
  const response = await fetch(world.url + path, {
    ...init,
    decompress: false,
    headers: {
      Authorization: `Bearer ${person.token}`,
      'Accept-Encoding': accept ?? 'identity',
      ...init.headers,
    },
  })
  const { headers, status } = response
  const bytes = Buffer.from(await response.arrayBuffer())
  return { status, headers, bytes, encoding: headers.get('content-encoding') }
}

const decoders: Record<string, (bytes: Buffer) => Uint8Array> = {
  zstd: (bytes) => Bun.zstdDecompressSync(bytes),
  gzip: (bytes) => gunzipSync(bytes),
}

test.each(['zstd', 'gzip'])(
  'answers above 1 KiB are sent as %s when asked, and are the same text',
  async (encoding) => {
    await Promise.all(
      Array.from({ length: 30 }, (_, n) =>
        world.ask(person, 'POST', '/api/tasks', { title: `one of many ${n}` }),
      ),
    )
    for (const path of [
      large,
      '/api/tasks?limit=20',
      '/api/openapi.json',
      '/api/docs/swagger-ui.css',
      '/api/docs/swagger-ui.js',
    ]) {
      const plain = await raw(path, null)
      for (const again of [1, 2]) {
        const coded = await raw(path, encoding)
        expect([path, again, coded.status, coded.encoding]).toEqual([path, again, 200, encoding])
        expect(Buffer.from(decoders[encoding]!(coded.bytes)).equals(plain.bytes)).toBe(true)
        expect(coded.bytes.length).toBeLessThan(plain.bytes.length * 0.6)
        expect(coded.headers.get('content-type')).toBe(plain.headers.get('content-type'))
        for (const { headers } of [coded, plain]) expect(headers.get('vary')).toBe('Origin, Accept-Encoding')
      }
      expect(plain.encoding).toBeNull()
    }
  },
)

test('a body that is compressed in a thread is the same text, and a request beside it is answered', async () => {
  const { id } = await world.project(person)
  await world.server.deps.db.transact(
    (tx) => tx`
      insert into tasks (id, project_id, title, description, rank)
      select gen_random_uuid(), ${id}, 'Task ' || n, repeat(md5(n::text) || ' ', 20), lpad(n::text, 6, '0')
      from generate_series(1, 1000) n`,
  )
  const path = `/api/projects/${id}/snapshot`
  const plain = JSON.parse((await raw(path, null)).bytes.toString())
  for (const encoding of ['zstd', 'gzip']) {
    // More than are compressed in threads at a time: the others are sent as they are.
    const answers = await Promise.all(Array.from({ length: 8 }, () => raw(path, encoding)))
    for (const { bytes, encoding: used } of answers) {
      const text = used === null ? bytes : decoders[encoding]!(bytes)
      expect(JSON.parse(Buffer.from(text).toString())).toEqual(plain)
    }
    expect(answers.some(({ encoding: used }) => used === encoding)).toBe(true)
  }
})

test('short answers and answers without content are not compressed', async () => {
  const answer = await raw(small, 'zstd, gzip')
  expect([answer.status, answer.encoding, answer.headers.get('vary')]).toEqual([200, null, 'Origin'])
  const tag = (await raw(large, 'gzip')).headers.get('etag')!
  const known = await raw(large, 'gzip', { headers: { 'If-None-Match': tag } })
  expect([known.status, known.encoding, known.bytes.length]).toEqual([304, null, 0])
})

test('a compressed answer has a weak tag of the version, and every condition accepts it', async () => {
  expect((await raw(large, null)).headers.get('etag')).toBe('"1"')
  const tag = (await raw(large, 'zstd')).headers.get('etag')!
  expect(tag).toBe('W/"1"')
  for (const accept of ['zstd', 'gzip', null])
    for (const given of [tag, '"1"', '"1-zstd"', '"1-gzip"'])
      expect((await raw(large, accept, { headers: { 'If-None-Match': given } })).status).toBe(304)
  const known = await raw(large, 'zstd', { headers: { 'If-None-Match': tag } })
  expect([known.headers.get('etag'), known.headers.get('vary')]).toEqual([tag, 'Origin, Accept-Encoding'])
  const patch = (ifMatch: string) =>
    raw(large, 'gzip', {
      method: 'PATCH',
      body: JSON.stringify({ title: `after ${ifMatch}` }),
      headers: { 'If-Match': ifMatch, 'Content-Type': 'application/json' },
    })
  const changed = await patch(tag)
  expect([changed.status, changed.encoding, changed.headers.get('etag')]).toEqual([200, 'gzip', 'W/"2"'])
  expect((await patch(tag)).status).toBe(412)
})

test('answers with secrets and problems are never compressed, however long', async () => {
  const name = 'n'.repeat(100)
  const { email } = await world.register(name)
  const session = await raw('/api/auth/login', 'gzip, zstd', {
    method: 'POST',
    body: JSON.stringify({ email, password: testPassword }),
    headers: { 'Content-Type': 'application/json', 'User-Agent': 'x'.repeat(500) },
  })
  expect([session.status, session.encoding]).toEqual([200, null])
  const operations = Array.from({ length: 100 }, () => ({ op: 'create', data: { title: '' } }))
  const problem = await raw('/api/tasks/batch', 'gzip, zstd', {
    method: 'POST',
    body: JSON.stringify({ operations }),
    headers: { 'Content-Type': 'application/json' },
  })
  expect([problem.status, problem.encoding]).toEqual([422, null])
  expect(problem.bytes.length).toBeGreaterThan(1024)
  // What decides is the header that every answer with a secret has.
  expect(session.headers.get('cache-control')).toBe('no-store')
  expect(problem.headers.get('cache-control')).toBe('no-store')
})

describe('Accept-Encoding', () => {
  const cases: [string, 'zstd' | 'gzip' | null][] = [
    ['', null],
    ['gzip', 'gzip'],
    ['x-gzip', 'gzip'],
    ['gzip, deflate, br, zstd', 'zstd'],
    ['zstd;q=0.5, gzip;q=0.8', 'gzip'],
    ['zstd; q=0.5 , GZIP ; Q=0.8', 'gzip'],
    ['gzip;q=0, zstd;q=0', null],
    ['gzip;q=0, *', 'zstd'],
    ['zstd;q=0, *;q=0.1', 'gzip'],
    ['*', 'zstd'],
    ['*;q=0', null],
    ['br', null],
    ['identity', null],
    ['gzip;q=0.2, identity;q=0.5', null],
    ['gzip;q=0.5, identity;q=0.5', 'gzip'],
    ['gzip;q=1.5', null],
    ['gzip;q=0.0001', null],
    ['gzip;q=x', null],
    ['gzip;level=9', 'gzip'],
    [',,;q=1,', null],
  ]
  test.each(cases)('%p means %p', (header, expected) => {
    expect(preferredIn(header)).toBe(expected)
  })
})
