// Tokens of links in mails: what they are made of, and everything that is no token.
import { expect, test } from 'bun:test'
import { linkIdOf, linkTokenOf } from '../../src/auth/link-tokens.ts'
import { newId } from '../../src/model/scalar.ts'

const key = (kid: string) => ({ kid, secret: kid.repeat(32) })
const keys = { jwtKeys: [key('a'), key('b')] as [ReturnType<typeof key>, ReturnType<typeof key>] }

test('a token names its link under every listed key, and in one kind only', () => {
  const id = newId()
  const token = linkTokenOf(keys, 'password_reset', id)
  expect(token).toMatch(/^[\w-]{22}\.[\w-]{43}$/)
  expect(linkTokenOf(keys, 'password_reset', id)).toBe(token)
  expect(linkIdOf(keys, 'password_reset', token)).toBe(id)
  expect(linkIdOf({ jwtKeys: [key('c'), key('a')] }, 'password_reset', token)).toBe(id)
  expect(linkIdOf({ jwtKeys: [key('b')] }, 'password_reset', token)).toBeNull()
  expect(linkIdOf(keys, 'verification', token)).toBeNull()
  expect(linkIdOf(keys, 'invitation', token)).toBeNull()
})

test('no other text is a token', () => {
  const token = linkTokenOf(keys, 'password_reset', newId())
  const [id = '', mac = ''] = token.split('.')
  const other = linkTokenOf(keys, 'password_reset', newId())
  for (const wrong of [
    '',
    '.',
    id,
    `${id}.`,
    `.${mac}`,
    `${id}.${other.split('.')[1]}`,
    `${token}=`,
    ` ${token}`,
    token.toUpperCase(),
    `${id}.${mac.slice(1)}A`,
    `${id}.${mac.slice(0, 42)}`,
    'x'.repeat(10_000),
  ])
    expect([wrong.length, linkIdOf(keys, 'password_reset', wrong)]).toEqual([wrong.length, null])
})
