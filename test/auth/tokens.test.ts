// Access tokens as an attacker would make them: everything but the one form that is signed here is 401.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { createTokens } from '../../src/auth/tokens.ts'
import { startWorld, type Person, type World } from '../support/world.ts'

let world: World
let ada: Person
let claims: Record<string, unknown>

beforeAll(async () => {
  world = await startWorld()
  ada = await world.register()
  claims = readPart(ada.token.split('.')[1]!)
})

afterAll(() => world[Symbol.asyncDispose]())

const readPart = (part: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(part, 'base64url').toString())

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

const header = { alg: 'HS256', typ: 'JWT', kid: 'k1' }

/** A token signed with the server's own secret by default. */
const craft = async (
  over: { header?: object; claims?: object; hash?: string; secret?: string } = {},
): Promise<string> => {
  const { hash = 'SHA-256', secret = world.config.jwtKeys[0].secret } = over
  const text = `${part({ ...header, ...over.header })}.${part({ ...claims, ...over.claims })}`
  const algorithm = { name: 'HMAC', hash }
  const key = await crypto.subtle.importKey('raw', Buffer.from(secret), algorithm, false, ['sign'])
  const signature = await crypto.subtle.sign(algorithm, key, Buffer.from(text))
  return `${text}.${Buffer.from(signature).toString('base64url')}`
}

const answerTo = (token: string) => world.call('GET', '/api/users/me', { token })

const now = () => Math.floor(Date.now() / 1000)

test('a token says who, which session and until when, and nothing else', () => {
  expect(readPart(ada.token.split('.')[0]!)).toEqual(header)
  expect(claims).toEqual({
    iss: 'tasktide',
    aud: 'tasktide-api',
    sub: ada.id,
    sid: expect.any(String),
    iat: expect.any(Number),
    exp: Number(claims['iat']) + 900,
  })
})

test('the same token crafted here is accepted: what follows fails for one reason each', async () => {
  expect((await answerTo(await craft())).status).toBe(200)
})

const forged: [string, () => Promise<string>][] = [
  ['alg none', async () => `${part({ ...header, alg: 'none' })}.${part(claims)}.`],
  ['alg none that keeps a signature', () => craft({ header: { alg: 'none' } })],
  ['HS384 under the right secret', () => craft({ header: { alg: 'HS384' }, hash: 'SHA-384' })],
  ['HS512 under the right secret', () => craft({ header: { alg: 'HS512' }, hash: 'SHA-512' })],
  ['RS256 in the header', () => craft({ header: { alg: 'RS256' } })],
  ['another secret', () => craft({ secret: 'a guess that is at least 32 bytes long' })],
  ['another issuer', () => craft({ claims: { iss: 'elsewhere' } })],
  ['no issuer', () => craft({ claims: { iss: undefined } })],
  ['another audience', () => craft({ claims: { aud: 'elsewhere' } })],
  ['no audience', () => craft({ claims: { aud: undefined } })],
  ['another type', () => craft({ header: { typ: 'at+jwt' } })],
  ['no type', () => craft({ header: { typ: undefined } })],
  ['no expiry', () => craft({ claims: { exp: undefined } })],
  ['an expiry in text', () => craft({ claims: { exp: '9999999999' } })],
  ['no issue time', () => craft({ claims: { iat: undefined } })],
  ['a start in the future', () => craft({ claims: { nbf: now() + 600 } })],
  ['no subject', () => craft({ claims: { sub: undefined } })],
  ['no session', () => craft({ claims: { sid: undefined } })],
  ['a session that is no id', () => craft({ claims: { sid: "' or 1=1" } })],
  ['an unknown key', () => craft({ header: { kid: 'k9' } })],
  ['no key', () => craft({ header: { kid: undefined } })],
  ['a key set of its own', () => craft({ header: { jku: 'https://evil.example/keys' } })],
  ['a key of its own', () => craft({ header: { jwk: { kty: 'oct', k: 'AAAA' } } })],
  ['a certificate of its own', () => craft({ header: { x5u: 'https://evil.example/cert' } })],
  ['critical extensions', () => craft({ header: { crit: ['exp'] } })],
  [
    'another user in front of the session',
    async () => craft({ claims: { sub: (await world.register()).id } }),
  ],
  ['a session that never was', () => craft({ claims: { sid: Bun.randomUUIDv7() } })],
  ['a header that is no object', async () => `${part(null)}.${part(claims)}.x`],
  ['parts that are no JSON', async () => 'a.b.c'],
  ['one part', async () => 'abc'],
]

test.each(forged)('a token with %s is 401', async (_what, make) => {
  const { status, headers, body } = await answerTo(await make())
  expect({ status, code: body.code }).toEqual({ status: 401, code: 'unauthenticated' })
  expect(headers.get('www-authenticate')).toBe('Bearer')
})

test('an expired token has a code of its own, if all else is right', async () => {
  const past = { iat: now() - 1000, exp: now() - 100 }
  expect((await answerTo(await craft({ claims: past }))).body.code).toBe('token_expired')
  const elsewhere = { ...past, iss: 'elsewhere' }
  expect((await answerTo(await craft({ claims: elsewhere }))).body.code).toBe('unauthenticated')
  const guessed = { claims: past, secret: 'a guess that is at least 32 bytes long' }
  expect((await answerTo(await craft(guessed))).body.code).toBe('unauthenticated')
})

test('a rotated key is good for verifying while it is listed, and then no more', async () => {
  const old = { kid: 'old', secret: 'the secret of the old key, 32 bytes' }
  const fresh = { kid: 'fresh', secret: 'the secret of the new key, 32 bytes' }
  const ids = { userId: Bun.randomUUIDv7(), sessionId: Bun.randomUUIDv7() }
  const before = await createTokens({ jwtKeys: [old] }).sign(ids)
  const rotated = createTokens({ jwtKeys: [fresh, old] })
  expect(await rotated.verify(before)).toMatchObject(ids)
  const after = await rotated.sign(ids)
  expect(readPart(after.split('.')[0]!)).toMatchObject({ kid: 'fresh' })
  const later = createTokens({ jwtKeys: [fresh] })
  expect(await later.verify(after)).toMatchObject(ids)
  expect(await later.verify(before).catch((error: unknown) => error)).toMatchObject({
    code: 'unauthenticated',
  })
})
