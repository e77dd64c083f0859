// The limit of password hashes: a number that run at once, a number that wait; more are refused with Retry-After.
import { expect, spyOn, test } from 'bun:test'
import { isCommonPassword } from '../../src/auth/common-passwords.ts'
import { createPasswords, decoyHash, hashPrefix } from '../../src/auth/passwords.ts'
import { expectWithin } from '../support/eventually.ts'

const errorOf = (answer: Promise<unknown>): Promise<unknown> =>
  answer.then(
    () => null,
    (error: unknown) => error,
  )

test('a hash verifies its own password alone', async () => {
  const passwords = createPasswords(1)
  const hash = await passwords.hash('correct horse')
  expect(await passwords.verify('correct horse', hash)).toEqual({ valid: true, outdated: false })
  expect(await passwords.verify('wrong horse', hash)).toEqual({ valid: false, outdated: false })
  expect(await passwords.verify('correct horse', null)).toEqual({ valid: false, outdated: false })
  expect(await passwords.verify('correct horse', 'junk')).toEqual({ valid: false, outdated: false })
})

test.each([
  ['bcrypt', { algorithm: 'bcrypt', cost: 4 }],
  ['argon2id of other cost', { algorithm: 'argon2id', memoryCost: 1024, timeCost: 2 }],
] as const)('a hash by %s verifies and is outdated', async (_what, how) => {
  const hash = await Bun.password.hash('correct horse', how)
  const passwords = createPasswords(1)
  expect(await passwords.verify('correct horse', hash)).toEqual({ valid: true, outdated: true })
  expect(await passwords.verify('wrong horse', hash)).toEqual({ valid: false, outdated: false })
})

test('a failed check is one hash of the present cost: of a wrong password, without an account, without a readable hash', async () => {
  const passwords = createPasswords(1)
  const stored = await passwords.hash('correct horse')
  using verified = spyOn(Bun.password, 'verify')
  using hashed = spyOn(Bun.password, 'hash')
  /** The hashes that were computed: an unreadable one is none. */
  const workOf = async (hash: string | null): Promise<unknown[]> => {
    verified.mockClear()
    expect((await passwords.verify('wrong horse', hash)).valid).toBe(false)
    return verified.mock.calls.map(([, of]) => of).filter((of) => of !== 'junk')
  }
  expect(await workOf(stored)).toEqual([stored])
  expect(await workOf(null)).toEqual([decoyHash])
  expect(await workOf('junk')).toEqual([decoyHash])
  expect(hashed).not.toHaveBeenCalled()
  for (const hash of [stored, decoyHash]) expect(hash).toStartWith(hashPrefix)
})

test('of a flood 2 run and 64 wait; the others are 503 at once, and then there is room again', async () => {
  await expectWithin(100, async () => {
    const passwords = createPasswords(2)
    const startedAt = performance.now()
    const answers = Array.from({ length: 100 }, () => errorOf(passwords.verify('correct horse', null)))
    const first = await Promise.race(answers)
    const tookMs = performance.now() - startedAt
    expect(first).toMatchObject({ code: 'unavailable', details: { retryAfter: 1 } })
    const refused = (await Promise.all(answers)).filter((error) => error !== null)
    expect(refused).toHaveLength(100 - 66)
    expect(await errorOf(passwords.verify('correct horse', null))).toBeNull()
    return tookMs
  })
})

test('the list of common passwords has 3,000 of at least 8 characters, in any case', () => {
  for (const common of ['password', 'PassWord1', 'iloveyou', '12345678', 'qwerty123', 'admin123'])
    expect(isCommonPassword(common)).toBe(true)
  for (const fine of ['correct horse battery', 'user1234!', '']) expect(isCommonPassword(fine)).toBe(false)
})
