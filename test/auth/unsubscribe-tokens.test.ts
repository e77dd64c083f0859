// Tokens of unsubscribe links: what was signed is read back, and nothing else is.
import { expect, test } from 'bun:test'
import { unsubscribeTokenOf, unsubscriptionOf } from '../../src/auth/unsubscribe-tokens.ts'
import { notificationKinds } from '../../src/model/notification.ts'
import { newId } from '../../src/model/scalar.ts'
import type { JwtKey } from '../../src/settings/jwt-secrets.ts'

const key = (kid: string): JwtKey => ({ kid, secret: `${kid}-0123456789abcdef0123456789abcdef` })
const keys = (...kids: [string, ...string[]]) => ({
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- of a list with one member
  jwtKeys: kids.map(key) as [JwtKey, ...JwtKey[]],
})

test('A token carries its user and its kinds', () => {
  for (const kinds of [[notificationKinds[0]], [...notificationKinds], ['commented', 'overdue'] as const]) {
    const unsubscription = { userId: newId(), kinds: [...kinds] }
    const token = unsubscribeTokenOf(keys('k1'), unsubscription)
    expect(token).toMatch(/^[\w-]{46}$/)
    expect(unsubscriptionOf(keys('k1'), token)).toEqual(unsubscription)
  }
})

test('It holds as long as its key is listed', () => {
  const token = unsubscribeTokenOf(keys('k1'), { userId: newId(), kinds: ['assigned'] })
  expect(unsubscriptionOf(keys('k2', 'k1'), token)).not.toBeNull()
  expect(unsubscriptionOf(keys('k2'), token)).toBeNull()
})

test('One changed bit, another length or other text is no token', () => {
  const token = unsubscribeTokenOf(keys('k1'), { userId: newId(), kinds: ['assigned'] })
  const bytes = Buffer.from(token, 'base64url')
  for (let bit = 0; bit < bytes.length * 8; bit += 1) {
    const changed = Buffer.from(bytes)
    changed[bit >> 3]! ^= 1 << (bit & 7)
    expect(unsubscriptionOf(keys('k1'), changed.toString('base64url'))).toBeNull()
  }
  for (const text of [
    '',
    'x',
    token.slice(1),
    `${token}A`,
    `${token}\n`,
    'ä'.repeat(46),
    token.replaceAll(/\w/g, '.'),
  ])
    expect(unsubscriptionOf(keys('k1'), text)).toBeNull()
})

test('A token for no kind allows nothing', () => {
  const token = unsubscribeTokenOf(keys('k1'), { userId: newId(), kinds: [] })
  expect(unsubscriptionOf(keys('k1'), token)).toBeNull()
})
