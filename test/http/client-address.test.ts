// The client address of a request in limits, sessions and logs, whatever the proxies in front of the server send.
import { expect, test } from 'bun:test'
import { clientAddress } from '../../src/http/client-address.ts'
import { cpuMsOf } from '../support/cpu-time.ts'
import { startWorld, testPassword } from '../support/world.ts'

const peer = '10.0.0.9'

test.each([
  ['203.0.113.6', '203.0.113.6'],
  ['203.0.113.6:50001', '203.0.113.6'],
  [' 203.0.113.6:1 ', '203.0.113.6'],
  ['2001:db8::1', '2001:db8::1'],
  ['[2001:db8::1]', '2001:db8::1'],
  ['[2001:db8::1]:443', '2001:db8::1'],
  ['::ffff:203.0.113.6', '203.0.113.6'],
  ['[::FFFF:203.0.113.6]:443', '203.0.113.6'],
  ['198.51.100.1, 203.0.113.6:50001', '203.0.113.6'],
  ['unknown', peer],
  ['_hidden', peer],
  ['', peer],
  [',', peer],
  ['203.0.113.6,', peer],
  ['203.0.113.999', peer],
  ['203.0.113.6:port', peer],
  ['203.0.113.6:', peer],
  ['[203.0.113.6', peer],
  ['[203.0.113.6]x', peer],
  ['"203.0.113.6"', peer],
  ['localhost', peer],
  ['x'.repeat(5_000), peer],
])('with one trusted proxy, %p gives the address %p', (forwardedFor, address) => {
  expect(clientAddress(forwardedFor, peer, 1)).toBe(address)
})

test('each trusted proxy adds one entry; further ones are what the client made up', () => {
  const forwardedFor = '192.0.2.1, 198.51.100.1:9, 203.0.113.6:8'
  expect([0, 1, 2, 3, 4, 10].map((proxies) => clientAddress(forwardedFor, peer, proxies))).toEqual([
    peer,
    '203.0.113.6',
    '198.51.100.1',
    '192.0.2.1',
    '192.0.2.1',
    '192.0.2.1',
  ])
  expect(clientAddress(null, '::ffff:10.0.0.9', 1)).toBe(peer)
})

test('a header of any length is read in time that does not grow with it', async () => {
  const long = '1.1.1.1,'.repeat(500_000) + '203.0.113.6'
  const read = async () => expect(clientAddress(long, peer, 10)).toBe('1.1.1.1')
  expect(await cpuMsOf(read, { times: 1_000, enough: 1 })).toBeLessThan(1)
})

test('every source port of an address shares its limit, and a session shows the address alone', async () => {
  await using world = await startWorld({ trustedProxies: 1, rateLimit: true, registrationsPerHour: 3 })
  const register = (forwardedFor: string) =>
    world.call('POST', '/api/auth/register', {
      body: { name: 'P', email: `${Bun.randomUUIDv7()}@example.com`, password: testPassword },
      headers: { 'X-Forwarded-For': forwardedFor },
    })
  const answers = []
  for (const port of [50_001, 50_002, 50_003, 50_004]) answers.push(await register(`203.0.113.6:${port}`))
  expect(answers.map(({ status }) => status)).toEqual([201, 201, 201, 429])
  expect((await register('[2001:db8::1]:443')).status).toBe(201)
  const sessions = await world.call('GET', '/api/auth/sessions', { token: answers[0]!.body.accessToken })
  expect(sessions.body.items[0].ip).toBe('203.0.113.6')
})
