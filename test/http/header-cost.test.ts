// Everything a request carries before its body is read in linear time: lists of the length that Bun still accepts cost
// no more than a few milliseconds, with an account or without one.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { cpuMsOf } from '../support/cpu-time.ts'
import { sendRaw } from '../support/raw-http.ts'
import { startWorld, type Person, type World } from '../support/world.ts'

let world: World
let person: Person

beforeAll(async () => {
  world = await startWorld({ trustedProxies: 2 })
  person = await world.register()
})

afterAll(() => world[Symbol.asyncDispose]())

const bytes = 12_000
const filled = (part: string): string => part.repeat(Math.floor(bytes / part.length))

/** Lists without an end, and openings that a backtracking pattern tries again at every place. */
const shapes = [
  'a',
  ',',
  ', ',
  ';',
  '; ',
  '"',
  'a,',
  'a=;',
  '1.1.1.1,',
  '[',
  ':',
  '/',
  '%',
  '\t',
  '.',
  'jwt.',
  'W/"',
  '"-',
]

const headers = [
  'Accept',
  'Accept-Encoding',
  'Authorization',
  'Content-Encoding',
  'Content-Type',
  'Cookie',
  'Forwarded',
  'Idempotency-Key',
  'If-Match',
  'If-None-Match',
  'Origin',
  'Range',
  'Sec-Fetch-Site',
  'Sec-WebSocket-Protocol',
  'Traceparent',
  'X-Forwarded-For',
  'X-Forwarded-Proto',
  'X-Request-Id',
]

const slow = 20

/** Milliseconds of CPU of one request, client included. */
const costOf = (head: string, body = ''): Promise<number> =>
  cpuMsOf(
    async () => {
      const { status } = await sendRaw(world.url, head, body)
      expect(status).toBeGreaterThanOrEqual(200)
      expect(status).toBeLessThan(500)
    },
    { enough: slow },
  )

/** What stands before the list, for headers whose reading begins with it. */
const openings: Record<string, string> = {
  Authorization: 'Bearer ',
  'Content-Type': 'application/json; charset',
}

test.each(headers)(
  '%s',
  async (name) => {
    const costs: Record<string, number> = {}
    for (const shape of shapes) {
      const value = (openings[name] ?? '') + filled(shape)
      for (const [method, path, more, body] of [
        ['GET', '/api/tasks', '', ''],
        ['GET', '/api/ws', '\nUpgrade: websocket\nConnection: Upgrade', ''],
        ['POST', '/api/auth/refresh', '\nContent-Length: 2', '{}'],
      ] as const) {
        const bearer = name === 'Authorization' ? '' : `\nAuthorization: Bearer ${person.token}`
        const cost = await costOf(
          `${method} ${path} HTTP/1.1\nHost: localhost${more}${bearer}\n${name}: ${value}`,
          body,
        )
        if (cost > slow) costs[`${method} ${path} ${value.slice(0, 20)}`] = cost
      }
    }
    expect(costs).toEqual({})
  },
  60_000,
)

test('the path and the query', async () => {
  const costs: Record<string, number> = {}
  for (const part of [
    '/',
    '/.',
    '/..',
    '/a',
    '%2f',
    '%2e',
    '%2e%2e/',
    'a',
    'a&',
    'a=b&',
    '&',
    ':',
    '\\',
    'api/tasks/',
  ])
    for (const path of [
      `/api${filled(part)}`,
      `/api/tasks/${filled(part)}/tags/x`,
      `/livez?${filled(part)}`,
    ]) {
      const cost = await costOf(`GET ${path} HTTP/1.1\nHost: localhost`)
      if (cost > slow) costs[path.slice(0, 30)] = cost
    }
  expect(costs).toEqual({})
})
