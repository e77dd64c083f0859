// Conditional requests as proxies and caches write them: weak tags, lists, and suffixes for a compressed answer.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { cpuMsOf } from '../support/cpu-time.ts'
import { routesOf } from '../support/routes.ts'
import { startWorld, type Answer, type Person, type World } from '../support/world.ts'

let world: World
let person: Person

beforeAll(async () => {
  world = await startWorld()
  person = await world.register()
})

afterAll(() => world[Symbol.asyncDispose]())

const ask = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
  world.call(method, path, { token: person.token, headers, ...(body !== undefined && { body }) })

const versioned: [string, () => Promise<Answer<any>>, object, string][] = [
  ['task', () => ask('POST', '/api/tasks', { title: 'a', tags: ['t'] }), { title: 'b' }, '/api/tasks'],
  ['project', () => ask('POST', '/api/projects', { name: 'a' }), { description: 'b' }, '/api/projects'],
]

/** Other spellings of one tag that a proxy or a program may send back. */
const spellingsOf = (tag: string): string[] => {
  const inner = tag.replace(/^W\//, '').slice(1, -1)
  return [
    `"${inner}"`,
    `W/"${inner}"`,
    `"${inner}-gzip"`,
    `W/"${inner}-zstd"`,
    `"${inner}--gzip"`,
    `"${inner};br"`,
    `"none", "${inner}"`,
    `"900","${inner}-gzip" , W/"901"`,
    '*',
    `"none", *`,
  ]
}

describe.each(versioned)('If-Match on a %s', (_what, make, change, base) => {
  const refused = [
    '"900"',
    '"900-gzip"',
    '"900", "901"',
    '"x"',
    '"-gzip"',
    '1',
    '""',
    'W/""',
    'none',
    '"1',
    '"1 "',
    '"01"',
    '"1.gzip"',
  ]

  test('accepts every spelling of its tag', async () => {
    const made = await make()
    for (const tag of spellingsOf(made.headers.get('etag')!)) {
      const { body, headers } = await make()
      expect(headers.get('etag')).toBe(made.headers.get('etag'))
      const patched = await ask('PATCH', `${base}/${body.id}`, change, { 'If-Match': tag })
      expect({ tag, status: patched.status }).toEqual({ tag, status: 200 })
      const stale = await ask('DELETE', `${base}/${body.id}`, undefined, { 'If-Match': tag })
      expect({ tag, status: stale.status }).toEqual({ tag, status: tag.includes('*') ? 204 : 412 })
    }
  })

  test('fails for a tag of another version and for what cannot be a tag of ours', async () => {
    const { body } = await make()
    const before = await world.entryCount()
    for (const tag of refused)
      for (const [method, sent] of [
        ['PATCH', change],
        ['DELETE', undefined],
      ] as const) {
        const answer = await ask(method, `${base}/${body.id}`, sent, { 'If-Match': tag })
        expect({ tag, method, status: answer.status, ...answer.body }).toMatchObject({
          tag,
          method,
          status: 412,
          code: 'version_conflict',
          currentVersion: 1,
        })
      }
    expect(await world.entryCount()).toBe(before)
  })
})

test('If-Match on PUT of a task and on the removal of a tag is read the same way', async () => {
  const { body } = await ask('POST', '/api/tasks', { title: 'a', tags: ['t'] })
  const path = `/api/tasks/${body.id}`
  expect((await ask('DELETE', `${path}/tags/t`, undefined, { 'If-Match': '"x"' })).status).toBe(412)
  expect((await ask('PUT', path, { title: 'b' }, { 'If-Match': '"9", W/"8"' })).status).toBe(412)
  expect((await ask('PUT', path, { title: 'b', tags: ['t'] }, { 'If-Match': '"9", "1-gzip"' })).status).toBe(
    200,
  )
  const removed = await ask('DELETE', `${path}/tags/t`, undefined, { 'If-Match': 'W/"2-br"' })
  expect(removed.status).toBeLessThan(300)
})

test('If-None-Match answers 304 for every spelling of the tag, on lists too', async () => {
  const { body: project } = await ask('POST', '/api/projects', { name: 'a' })
  const { body: task } = await ask('POST', '/api/tasks', { title: 'a', projectId: project.id })
  for (const path of [
    `/api/projects/${project.id}`,
    `/api/projects/${project.id}/members`,
    `/api/tasks/${task.id}`,
    `/api/tasks?projectId=${project.id}`,
    '/api/projects',
    '/api/users/me',
    '/api/openapi.json',
  ]) {
    const { headers } = await ask('GET', path)
    const own = headers.get('etag')!
    for (const tag of spellingsOf(own)) {
      const answer = await ask('GET', path, undefined, { 'If-None-Match': tag })
      expect({ path, tag, status: answer.status, etag: answer.headers.get('etag') }).toEqual({
        path,
        tag,
        status: 304,
        etag: own,
      })
    }
    for (const tag of ['"none"', 'W/"none-gzip"', own.slice(0, -1), own.replaceAll('"', ''), '""', '"-gzip"'])
      expect({
        path,
        tag,
        status: (await ask('GET', path, undefined, { 'If-None-Match': tag })).status,
      }).toEqual({ path, tag, status: 200 })
  }
})

test('what may be kept has a tag, on every route that needs no more than a path', async () => {
  const admin = await world.registerAdmin()
  const paths = (await routesOf(world)).flatMap(({ method, template, path }) =>
    method === 'GET' && !template.includes(':') ? [path] : [],
  )
  const kept: string[] = []
  for (const path of paths) {
    const answer = await fetch(world.url + path, { headers: { Authorization: `Bearer ${admin.token}` } })
    await answer.arrayBuffer()
    const isKept = answer.headers.get('cache-control')?.includes('no-cache')
    if (answer.status !== 200 || !isKept) continue
    kept.push(path)
    expect({ path, hasTag: answer.headers.has('etag') }).toEqual({ path, hasTag: true })
  }
  expect(kept).toContain('/api/projects')
  expect(kept).toContain('/api/docs/swagger-ui.js')
})

test.each([
  '/api/docs',
  '/api/docs/start.js',
  '/api/docs/swagger-ui.js',
  '/api/docs/swagger-ui.css',
  '/api/pages/account.js',
  '/api/pages/page.css',
  '/admin/sign-in.js',
])('%s is sent again only where it has changed', async (path) => {
  for (const encoding of ['identity', 'gzip', 'zstd']) {
    const read = async (headers: Record<string, string> = {}) => {
      const answer = await fetch(world.url + path, { headers: { 'Accept-Encoding': encoding, ...headers } })
      return { status: answer.status, tag: answer.headers.get('etag')!, bytes: (await answer.bytes()).length }
    }
    const first = await read()
    expect([first.status, first.tag]).toEqual([200, expect.stringMatching(/^W\/"\w+"$/)])
    expect(await read({ 'If-None-Match': first.tag })).toEqual({ status: 304, tag: first.tag, bytes: 0 })
    expect(await read({ 'If-None-Match': 'W/"other"' })).toEqual(first)
  }
})

test('a list of thousands of tags is read in linear time', async () => {
  const { body } = await ask('POST', '/api/tasks', { title: 'a' })
  const path = `/api/tasks/${body.id}`
  for (const tags of [
    '"9",'.repeat(3_000),
    ','.repeat(12_000),
    '"'.repeat(12_000),
    'W/"'.repeat(4_000),
    '"1-'.repeat(4_000),
  ]) {
    const both = async () => {
      expect((await ask('PATCH', path, { title: 'b' }, { 'If-Match': tags })).status).toBe(412)
      expect((await ask('GET', path, undefined, { 'If-None-Match': tags })).status).toBe(200)
    }
    expect(await cpuMsOf(both, { times: 5, enough: 40 })).toBeLessThan(40)
  }
})
