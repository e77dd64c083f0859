// Pages of other origins receive CORS headers only where the origin is listed exactly.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { startWorld, type World } from '../support/world.ts'

const listed = 'https://tasks.example.com'
const app = 'capacitor://localhost'

let world: World

beforeAll(async () => {
  world = await startWorld({ allowedOrigins: [listed, app], env: 'production' })
})

afterAll(() => world[Symbol.asyncDispose]())

const preflight = (origin: string, path = '/api/users/me') =>
  world.call('OPTIONS', path, {
    headers: {
      Origin: origin,
      'Access-Control-Request-Method': 'PATCH',
      'Access-Control-Request-Headers': 'authorization,content-type',
    },
  })

const allowHeaders = (headers: Headers): string[] =>
  [...headers.keys()].filter((name) => name.startsWith('access-control-'))

test.each([listed, app])('a preflight from the listed origin %s gets the permissions', async (origin) => {
  const { status, headers } = await preflight(origin)
  expect(status).toBe(204)
  expect(headers.get('access-control-allow-origin')).toBe(origin)
  expect(headers.get('access-control-allow-credentials')).toBe('true')
  expect(headers.get('access-control-allow-methods')).toContain('PATCH')
  expect(headers.get('access-control-allow-headers')).toContain('Authorization')
  expect(headers.get('vary')).toBe('Origin')
})

test('a preflight for a path that does not exist is 404, as any other request for it', async () => {
  for (const path of ['/api/nope', '/api/users/me/', '/api//users/me'])
    expect([path, (await preflight(listed, path)).status]).toEqual([path, 404])
})

test('a preflight has the headers of every answer', async () => {
  const { headers } = await preflight(listed)
  expect(headers.get('x-content-type-options')).toBe('nosniff')
  expect(headers.get('content-security-policy')).toBe("default-src 'none'; frame-ancestors 'none'")
  expect(headers.get('referrer-policy')).toBe('no-referrer')
  expect(headers.get('strict-transport-security')).toBe('max-age=31536000')
  expect(headers.get('cache-control')).toBe('no-store')
  expect(headers.get('x-request-id')).toMatch(/^\S+$/)
})

test.each([
  ['an unlisted origin', 'https://evil.example'],
  ['the http twin of a listed one', 'http://tasks.example.com'],
  ['another port of a listed one', 'https://tasks.example.com:8443'],
  ['a page of the own machine, in production', 'http://localhost:5173'],
  ['a page of the own network, in production', 'http://192.168.1.20:3000'],
  ['another host of a listed app', 'capacitor://elsewhere'],
  ['a longer name', 'https://tasks.example.com.evil.example'],
  ['no origin at all', 'null'],
])('a preflight from %s gets no allow header', async (_what, origin) => {
  const { headers } = await preflight(origin)
  expect(allowHeaders(headers)).toEqual([])
  expect(headers.get('vary')).toBe('Origin')
})

test('answers, errors too, name a listed origin and what it may read', async () => {
  const headersOf = async (origin: string) =>
    (await world.call('GET', '/api/users/me', { headers: { Origin: origin } })).headers
  const headers = await headersOf(listed)
  expect(headers.get('access-control-allow-origin')).toBe(listed)
  expect(headers.get('access-control-expose-headers')).toContain('Tide-Cursor')
  expect((await headersOf(new URL(world.url).origin)).get('access-control-allow-origin')).toBe(
    new URL(world.url).origin,
  )
  expect(allowHeaders(await headersOf('https://evil.example'))).toEqual([])
})
