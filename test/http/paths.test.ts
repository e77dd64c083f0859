// Paths lead to exactly one place: nothing is decoded, folded, lower-cased or trimmed into another route, with every
// method and for any Host header.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { Problem } from '../../src/model/problem.ts'
import { sendRaw, type RawAnswer } from '../support/raw-http.ts'
import { routesOf, type Route } from '../support/routes.ts'
import { startWorld, type Person, type World } from '../support/world.ts'

let world: World
let person: Person
let routes: Route[]

beforeAll(async () => {
  world = await startWorld()
  person = await world.register()
  routes = await routesOf(world)
})

afterAll(() => world[Symbol.asyncDispose](), 20_000)

const ask = (method: string, path: string, host = 'localhost'): Promise<RawAnswer> =>
  sendRaw(
    world.url,
    `${method} ${path} HTTP/1.1
     Host: ${host}
     Authorization: Bearer ${person.token}`,
  )

const problemOf = ({ body }: RawAnswer): Problem => JSON.parse(body)

/** Other ways to write a path that URL parsers, routers and file systems take for the same. */
const variantsOf = (path: string): string[] => {
  const at = path.lastIndexOf('/')
  const [head, tail] = [path.slice(0, at), path.slice(at + 1)]
  return [
    `${path}/`,
    `/${path}`,
    `${head}//${tail}`,
    `/x/..${path}`,
    `/%2e%2e${path}`,
    `/.%2E${path}`,
    `${head}/./${tail}`,
    `${head}/%2e/${tail}`,
    `${path}/.`,
    `${path}/x/..`,
    `${path}/x/%2e%2e`,
    `${head}\\${tail}`,
    `/x\\..${path}`,
    `${head}%2f${tail}`,
    `${path}%2F`,
  ].filter((variant) => variant.startsWith('/'))
}

const upper = ({ template, path }: Route): string => {
  const given = path.split('/')
  return template
    .replace(/(.)\/$/, '$1')
    .split('/')
    .map((word, index) => (word.startsWith(':') ? given[index] : word.toUpperCase()))
    .join('/')
}

describe('a path written in another way', () => {
  test('is 404 on every route, with the right path in the detail', async () => {
    const wrong: string[] = []
    for (const route of routes)
      for (const path of [...variantsOf(route.path), upper(route)]) {
        if (route.template.endsWith('/:tag') && path.endsWith('%2F')) continue // a tag may end with a slash
        if (route.template.startsWith('/admin/queues/') && /%2f/i.test(path)) continue // names of queues and files
        const answer = await ask(route.method, path)
        const problem = answer.status === 404 ? problemOf(answer) : null
        const isRight =
          problem?.code === 'not_found' &&
          problem.requestId === answer.headers['x-request-id'] &&
          problem.detail?.endsWith(` ${route.path}`)
        if (!isRight) wrong.push(`${route.method} ${path}: ${answer.status} ${problem?.detail}`)
      }
    expect(wrong).toEqual([])
  }, 60_000)

  test('is 404 with every other method too', async () => {
    for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
      for (const path of [...variantsOf('/livez'), ...variantsOf('/api/projects')])
        expect({ method, path, status: (await ask(method, path)).status }).toEqual({
          method,
          path,
          status: 404,
        })
  })

  test('changes nothing: a dot segment in the place of a tag never reaches the task', async () => {
    const made = await world.call('POST', '/api/tasks', { token: person.token, body: { title: 'kept' } })
    const task = `/api/tasks/${made.body.id}`
    const before = await world.entryCount()
    for (const tag of ['..', '.', '%2e%2e', '%2E', '.%2e', '', String.raw`a\..\b`, 'x/../..'])
      expect({ tag, status: (await ask('DELETE', `${task}/tags/${tag}`)).status }).toEqual({
        tag,
        status: 404,
      })
    expect(await world.entryCount()).toBe(before)
    expect((await world.call('GET', task, { token: person.token })).status).toBe(200)
  })

  test('of HTTP/1.0 without Host, where nothing folds it, is 404 as well', async () => {
    for (const path of [...variantsOf('/livez'), ...variantsOf('/version')])
      expect({ path, status: (await sendRaw(world.url, `GET ${path} HTTP/1.0`)).status }).toEqual({
        path,
        status: 404,
      })
  })

  test('is named where a word looks like an id, and where letters are encoded', async () => {
    for (const [path, right] of [
      ['/api/users/ME', '/api/users/me'],
      ['/api/tasks/Stats', '/api/tasks/stats'],
      ['/api/tasks/BULK', '/api/tasks/bulk'],
      ['/api/%74asks', '/api/tasks'],
      ['/%6civez', '/livez'],
    ])
      expect({ path, detail: problemOf(await ask('GET', path!)).detail }).toEqual({
        path,
        detail: `Paths are exact: this one is ${right}`,
      })
  })

  test('that is not a path of the API has no suggestion', async () => {
    for (const path of [
      '/',
      '/api',
      '/api/',
      '/none/livez',
      '/aaa/api/projects',
      '/livez/more',
      '/.env',
      '/api/tasks/x',
    ])
      expect({ path, detail: problemOf(await ask('GET', path)).detail }).toEqual({
        path,
        detail: problemOf(await ask('GET', '/api/none')).detail,
      })
  })

  test('that is only text of a tag is that tag', async () => {
    const tag = 'a/b .. %2e'
    const made = await world.call('POST', '/api/tasks', {
      token: person.token,
      body: { title: 'tagged', tags: [tag] },
    })
    const path = `/api/tasks/${made.body.id}`
    const removed = await world.call('DELETE', `${path}/tags/${encodeURIComponent(tag)}`, {
      token: person.token,
    })
    expect(removed.status).toBeLessThan(300)
    expect((await world.call('GET', path, { token: person.token })).body.tags).toEqual([])
  })
})

test('paths without a route are 404 with and without credentials', async () => {
  for (const path of [
    '/',
    '/api',
    '/api/',
    '/api/none',
    '/none/livez',
    '/aaa/api/projects',
    '/livez/more',
    '/api/projects/x/y/z',
    '/.env',
    '/constructor',
    '/__proto__',
    '/livez;x',
    '/livez%00',
    '/%6civez',
    '/api/docs/nothing',
  ])
    for (const token of [undefined, person.token]) {
      const answer = await world.call<Problem>('GET', path, { ...(token && { token }) })
      expect({ path, status: answer.status, body: answer.body }).toMatchObject({
        path,
        status: 404,
        body: { code: 'not_found', type: '/problems/not_found', status: 404, instance: path },
      })
    }
})

describe('the Host header', () => {
  test('changes neither routing nor authorisation', async () => {
    for (const host of ['x', 'a.b', 'localhost', '[::1]:1', `${'h'.repeat(300)}.example`, '']) {
      const statusOf = async (path: string) =>
        (await sendRaw(world.url, `GET ${path} HTTP/1.1\nHost: ${host}`)).status
      expect({
        host,
        other: await statusOf('/aaa/version'),
        guarded: await statusOf('/api/projects'),
        open: await statusOf('/version'),
      }).toEqual({ host, other: 404, guarded: 401, open: 200 })
    }
  })

  test('that names no host, or two, is 400', async () => {
    for (const head of ['Host: aaa/livez', 'Host: a b', 'Host: ?', 'Host: u@h', 'Host: a\nHost: b'])
      for (const path of ['/version', '/api/projects', '/aaa/version']) {
        const answer = await sendRaw(world.url, `GET ${path} HTTP/1.1\n${head}`)
        expect({ head, path, status: answer.status, code: problemOf(answer).code }).toEqual({
          head,
          path,
          status: 400,
          code: 'bad_request',
        })
      }
  })

  test('may be missing in HTTP/1.0: every route answers as it does with one', async () => {
    const bearer = `Authorization: Bearer ${person.token}`
    for (const { path, template } of routes.filter(
      ({ method, template }) => method === 'GET' && template !== '/api/ws',
    )) {
      const [without, withHost] = await Promise.all([
        sendRaw(world.url, `GET ${path} HTTP/1.0\n${bearer}`),
        sendRaw(world.url, `GET ${path} HTTP/1.1\nHost: localhost\n${bearer}`),
      ])
      expect({ template, status: without.status }).toEqual({ template, status: withHost.status })
    }
    expect((await sendRaw(world.url, 'GET /livez HTTP/1.0')).status).toBe(200)
    expect((await sendRaw(world.url, 'HEAD /livez HTTP/1.0')).status).toBe(200)
    expect((await sendRaw(world.url, 'GET /api/projects HTTP/1.0')).status).toBe(401)
    const refreshed = await sendRaw(
      world.url,
      `POST /api/auth/refresh HTTP/1.0
       Content-Type: application/json
       Content-Length: ${Buffer.byteLength(JSON.stringify({ refreshToken: person.session.refreshToken }))}`,
      JSON.stringify({ refreshToken: person.session.refreshToken }),
    )
    expect(refreshed.status).toBe(200)
    for (const title of ['one', 'two'])
      await world.call('POST', '/api/tasks', { token: person.token, body: { title } })
    const list = await sendRaw(world.url, `GET /api/tasks?limit=1 HTTP/1.0\n${bearer}`)
    expect(list.headers['link']).toStartWith('</api/tasks?limit=1&cursor=')
  })
})

describe('methods', () => {
  test('that a path does not take are 405, and Allow names exactly those it takes', async () => {
    for (const [path, ofPath] of Map.groupBy(routes, (route) => route.path)) {
      const takes = new Set(ofPath.flatMap(({ method }) => (method === 'GET' ? ['GET', 'HEAD'] : [method])))
      for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
        if (takes.has(method)) continue
        const answer = await fetch(world.url + path, {
          method,
          headers: { Authorization: `Bearer ${person.token}` },
        })
        const problem: Problem | null = method === 'HEAD' ? null : await answer.json()
        expect({
          path,
          method,
          status: answer.status,
          allow: new Set(answer.headers.get('allow')?.split(', ')),
          ...(problem && { code: problem.code, instance: problem.instance }),
        }).toEqual({
          path,
          method,
          status: 405,
          allow: takes,
          ...(method !== 'HEAD' && { code: 'method_not_allowed', instance: path }),
        })
      }
    }
  })

  test('that a path does not take are 401 without valid credentials, where its routes need some', async () => {
    const credentials: Record<string, string>[] = [{}, { Authorization: 'Bearer x.y.z' }]
    for (const [path, ofPath] of Map.groupBy(routes, (route) => route.path)) {
      const kinds = new Set(ofPath.map(({ isGuarded }) => isGuarded))
      expect({ path, kinds: kinds.size }).toEqual({ path, kinds: 1 }) // one answer to a stranger
      const takes = new Set(ofPath.map(({ method }) => method))
      const others = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'].filter((one) => !takes.has(one))
      const requested = others.flatMap((method) => credentials.map((headers) => ({ method, headers })))
      const answers = await Promise.all(requested.map((init) => fetch(world.url + path, init)))
      const expected = kinds.has(true) ? [401, 'Bearer', false] : [405, null, true]
      for (const [index, { status, headers }] of answers.entries())
        expect([
          path,
          requested[index],
          status,
          headers.get('www-authenticate'),
          headers.has('allow'),
        ]).toEqual([path, requested[index], ...expected])
    }
    expect((await fetch(`${world.url}/api/none`, { method: 'DELETE' })).status).toBe(404)
  })

  test('TRACE, CONNECT and other rare ones reach no route', async () => {
    for (const method of ['TRACE', 'CONNECT', 'OPTIONS', 'PROPFIND']) {
      const { status, body } = await sendRaw(
        world.url,
        `${method} /api/projects HTTP/1.1
         Host: localhost
         X-Probe: planted
         Authorization: Bearer ${person.token}`,
      )
      expect({ method, refused: status === 405 || status === 404 || status === 400 }).toEqual({
        method,
        refused: true,
      })
      expect(body).not.toContain('planted')
    }
  })

  test('HEAD answers what GET does, without the body', async () => {
    for (const path of ['/livez', '/version', '/api/projects', '/api/openapi.json', '/api/none']) {
      const headers = { Authorization: `Bearer ${person.token}` }
      const [get, head] = await Promise.all(
        ['GET', 'HEAD'].map((method) => fetch(world.url + path, { method, headers })),
      )
      expect({ path, status: head!.status }).toEqual({ path, status: get!.status })
      expect(await head!.text()).toBe('')
    }
  })
})
