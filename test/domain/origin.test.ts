// Which origins may use a user's cookie: exactly those of the setting, and in development also pages of this machine
// and its network.
import { expect, test } from 'bun:test'
import { describeAllowedOrigins, isAllowedOrigin, isPlainPrivateHttp } from '../../src/auth/origin.ts'

type Settings = Parameters<typeof isAllowedOrigin>[2]

const production: Settings = { env: 'production', allowedOrigins: [], trustedProxies: 0 }
const development: Settings = { ...production, env: 'development' }

const requestTo = (url: string, headers: Record<string, string> = {}): Request =>
  new Request(url, { headers: { host: new URL(url).host, ...headers } })

const server = requestTo('http://tasks.example.com:3000/api/auth/refresh')

const near = [
  'http://localhost:5173',
  'https://localhost',
  'http://app.localhost:8080',
  'http://127.0.0.1:4000',
  'http://127.9.9.9',
  'http://[::1]:5173',
  'http://192.168.1.20:3000',
  'http://10.1.2.3',
  'http://172.16.0.1:5173',
  'http://172.31.255.254',
  'http://169.254.7.7',
  'http://[fd12:3456::1]:5173',
  'http://[fe80::1]',
  'https://192.168.1.20',
  'http://laptop.local:3000',
]

test.each(near)('in development a page of %s is allowed, in production it is not', (origin) => {
  expect(isAllowedOrigin(origin, server, development)).toBe(true)
  expect(isAllowedOrigin(origin, server, production)).toBe(false)
})

test.each([
  'https://evil.example',
  'http://localhost.evil.example',
  'http://evillocalhost',
  'http://127.0.0.1.evil.example',
  'http://172.32.0.1',
  'http://172.15.0.1',
  'http://11.0.0.1',
  'http://192.169.1.1',
  'http://[2001:db8::1]',
  'http://[::ffff:8.8.8.8]',
  'null',
  '',
  'http://',
  'localhost:3000',
  'http://localhost/',
  'http://user@localhost',
  'HTTP://LOCALHOST',
  'capacitor://localhost',
  'file://localhost',
  'http://2130706433',
])('a page of %p is allowed nowhere', (origin) => {
  for (const settings of [development, production])
    expect(isAllowedOrigin(origin, server, settings)).toBe(false)
})

test.each([
  'capacitor://localhost',
  'chrome-extension://abcdefghijklmnopabcdefghijklmnop',
  'tauri://localhost',
  'https://web.example',
])('a listed origin counts to the letter: %s', (listed) => {
  const settings: Settings = { ...production, allowedOrigins: [listed] }
  expect(isAllowedOrigin(listed, server, settings)).toBe(true)
  for (const other of [
    `${listed}/`,
    `${listed}:1`,
    listed.toUpperCase(),
    `x${listed}`,
    `${listed}.evil.example`,
  ])
    expect(isAllowedOrigin(other, server, settings)).toBe(false)
})

test.each([
  [undefined, 'http'],
  ['http', 'http'],
  ['ws', 'http'],
  ['https', 'https'],
  ['wss', 'https'],
  ['WSS', 'https'],
  ['http, wss', 'https'],
  ['https, ws', 'http'],
  ['gopher', 'http'],
])('the own origin behind a trusted proxy that sends %p is of %s', (proto, scheme) => {
  const request = requestTo('http://tasks.example.com/api/ws', proto ? { 'x-forwarded-proto': proto } : {})
  const proxied: Settings = { ...production, trustedProxies: 1 }
  for (const own of ['http', 'https'])
    expect(isAllowedOrigin(`${own}://tasks.example.com`, request, proxied)).toBe(own === scheme)
  expect(isAllowedOrigin('http://tasks.example.com', request, production)).toBe(true)
})

test('without a Host there is no own origin', () => {
  const request = new Request('http://tasks.example.com/')
  for (const origin of ['http://', 'https://', 'null', '', 'http://tasks.example.com'])
    expect(isAllowedOrigin(origin, request, { ...production, trustedProxies: 1 })).toBe(false)
})

test('the cookie can do without Secure on plain HTTP to a private address in development, and nowhere else', () => {
  const isPlain = (url: string, settings: Settings, headers: Record<string, string> = {}) =>
    isPlainPrivateHttp(requestTo(url, headers), settings)
  for (const host of ['localhost:3000', '127.0.0.1:3000', '[::1]:3000', '192.168.1.20:3000', 'laptop.local'])
    expect([host, isPlain(`http://${host}/`, development), isPlain(`http://${host}/`, production)]).toEqual([
      host,
      true,
      false,
    ])
  expect(isPlain('http://tasks.example.com/', development)).toBe(false)
  const proxied = { ...development, trustedProxies: 1 }
  expect(isPlain('http://192.168.1.20/', proxied, { 'x-forwarded-proto': 'https' })).toBe(false)
})

test('the allowed origins are listed in one line', () => {
  expect(describeAllowedOrigins(development)).toBe(
    "the server's own origin, loopback and private-network addresses (development only)",
  )
  expect(describeAllowedOrigins({ ...production, allowedOrigins: ['tauri://localhost'] })).toBe(
    "the server's own origin, tauri://localhost",
  )
})
