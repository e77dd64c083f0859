// The memo behind every request: when it may answer, when it must ask, and that no race keeps what was revoked.
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test'
import { openDatabase, type Database } from '../../src/db/client.ts'
import { newPersonalToken, personalTokenHash } from '../../src/auth/personal-tokens.ts'
import { insertPersonalToken, revokePersonalToken } from '../../src/db/users/personal-tokens.ts'
import { insertSession, revokeSession } from '../../src/db/users/sessions.ts'
import { insertUser } from '../../src/db/users/users.ts'
import { createAuthenticator, type SessionAuthenticator } from '../../src/auth/authenticator.ts'
import { AppError } from '../../src/errors.ts'
import { Hub, type ControlListener } from '../../src/changelog/follower/hub.ts'
import { createLog } from '../../src/log.ts'
import { userScope } from '../../src/model/scope.ts'
import type { Control } from '../../src/model/event.ts'
import { newId } from '../../src/model/scalar.ts'
import { testDatabase, type TestDatabase } from '../support/environment.ts'
import { eventually } from '../support/eventually.ts'

const log = createLog('test', 'silent')
const tokens = {
  sign: async ({ userId, sessionId }: { userId: string; sessionId: string }) => `${userId} ${sessionId}`,
  verify: async (token: string) => {
    const [userId = '', sessionId = '', expiresAt = Date.now() + 900_000] = token.split(' ')
    return { userId, sessionId, expiresAt: Number(expiresAt) }
  },
}

let database: TestDatabase
let real: Database
let hub: Hub
/** When the log was last confirmed to be followed. */
let confirmedAt: () => number
const epochListeners = new Set<() => void>()
const failureListeners = new Set<() => void>()
const register = (listeners: Set<() => void>) => (listener: () => void) => {
  listeners.add(listener)
  return () => listeners.delete(listener)
}
const follower = {
  get confirmedAt() {
    return confirmedAt()
  },
  onControl: (listener: ControlListener) => hub.onControl(listener),
  onEpochChange: register(epochListeners),
  onDeliveryFailure: register(failureListeners),
}
let reads: number
/** Awaited by every read after PostgreSQL answered. */
let gate: Promise<void>
let isAway: boolean
let authenticatorDb: Database
let authenticator: SessionAuthenticator
let userId: string
let sessionId: string
let token: string

beforeAll(async () => {
  database = await testDatabase()
  real = openDatabase({ url: database.url, max: 4, applicationName: 'test', log })
})

afterAll(async () => {
  await real[Symbol.asyncDispose]()
  await database[Symbol.asyncDispose]()
})

beforeEach(async () => {
  hub = new Hub((error) => {
    throw error
  })
  confirmedAt = () => Date.now()
  for (const listeners of [epochListeners, failureListeners]) listeners.clear()
  reads = 0
  gate = Promise.resolve()
  isAway = false
  const db: Database = {
    ...real,
    read: async (work, options) => {
      reads += 1
      if (isAway) throw new AppError('unavailable')
      const value = await real.read(work, options)
      await gate
      return value
    },
  }
  authenticatorDb = db
  authenticator = createAuthenticator({ systemDb: db, tokens, follower, log })
  userId = newId()
  sessionId = newId()
  token = await tokens.sign({ userId, sessionId })
  await real.transact(async (tx) => {
    await insertUser(tx, {
      id: userId,
      email: `${userId}@example.com`,
      name: 'Ada',
      passwordHash: '',
      timeZone: 'UTC',
      role: 'user',
      emailVerified: false,
    })
    const tokenHash = crypto.getRandomValues(new Uint8Array(32))
    await insertSession(tx, { id: sessionId, userId, tokenHash, userAgent: '', ip: '' })
  })
})

const revoke = () => real.transact((tx) => revokeSession(tx, userId, sessionId))

const publishControl = (control: Control, of = userId): void =>
  hub.publish([
    {
      shard: 0,
      seq: 1,
      at: new Date().toISOString(),
      scope: userScope(of),
      type: 'control',
      entityId: null,
      version: 1,
      actorId: of,
      op: null,
      control,
      changes: null,
      quiet: false,
      override: false,
      frame: null,
    },
  ])

/** What it was refused with. */
const refusalOf = (answer: Promise<unknown>): Promise<unknown> =>
  answer.then(
    () => 'let in',
    (error: unknown) => error,
  )

const refused = { code: 'unauthenticated', details: { extra: { reason: 'revoked' } } }

test('a token is looked up once while the log is followed', async () => {
  const identity = await authenticator.authenticate(token)
  expect(identity.actor).toEqual({
    userId,
    role: 'user',
    credential: { kind: 'session', sessionId },
  })
  expect(await authenticator.authenticate(token)).toBe(identity)
  expect(reads).toBe(1)
})

test('a token leaves the memory in time, also one that is valid', async () => {
  const short = { systemDb: authenticatorDb, tokens, follower, log, memoisedForMs: 20 }
  await using forgetful = createAuthenticator(short)
  const identity = await forgetful.authenticate(token)
  await eventually(() => expect(forgetful.memoised(token)).toBeNull())
  expect((await forgetful.authenticate(token)).actor).toEqual(identity.actor)
})

test('equal tokens at once share one look-up', async () => {
  await Promise.all(Array.from({ length: 100 }, () => authenticator.authenticate(token)))
  expect(reads).toBe(1)
})

test('what is remembered does not count once the log was not confirmed for a second', async () => {
  await authenticator.authenticate(token)
  confirmedAt = () => Date.now() - 1_100
  await authenticator.authenticate(token)
  expect(reads).toBe(2)
  await revoke()
  expect(await refusalOf(authenticator.authenticate(token))).toMatchObject(refused)
})

test('nor while the clock says that it was confirmed in the future', async () => {
  await authenticator.authenticate(token)
  const before = Date.now()
  confirmedAt = () => before + 600_000
  await authenticator.authenticate(token)
  expect(reads).toBe(2)
})

test('without the log and PostgreSQL no token is accepted', async () => {
  await authenticator.authenticate(token)
  isAway = true
  expect((await authenticator.authenticate(token)).actor.userId).toBe(userId)
  confirmedAt = () => 0
  expect(await refusalOf(authenticator.authenticate(token))).toMatchObject({ code: 'unavailable' })
})

test.each<[string, () => Control]>([
  ['the end of the session', () => ({ kind: 'session', sessionId })],
  ['the end of all sessions', () => ({ kind: 'sessions', except: null })],
  ['the end of all other sessions', () => ({ kind: 'sessions', except: sessionId })],
  ['disabling', () => ({ kind: 'disabled' })],
  ['another role', () => ({ kind: 'role' })],
])('%s in the log makes it look again', async (_what, control) => {
  await authenticator.authenticate(token)
  publishControl(control())
  await authenticator.authenticate(token)
  expect(reads).toBe(2)
})

test('what the log says of others leaves it alone', async () => {
  await authenticator.authenticate(token)
  publishControl({ kind: 'session', sessionId: newId() })
  publishControl({ kind: 'disabled' }, newId())
  await authenticator.authenticate(token)
  expect(reads).toBe(1)
})

test('the role is what the row says', async () => {
  await authenticator.authenticate(token)
  await real.transact((tx) => tx`update users set role = 'admin' where id = ${userId}`)
  publishControl({ kind: 'role' })
  expect((await authenticator.authenticate(token)).actor.role).toBe('admin')
})

test('a look-up that read before the revocation and ends after it is not remembered', async () => {
  const opened = Promise.withResolvers<void>()
  gate = opened.promise
  const underWay = authenticator.authenticate(token)
  await eventually(() => expect(reads).toBe(1))
  await revoke()
  publishControl({ kind: 'session', sessionId })
  // Who asks from now on does not get the answer that is under way.
  const after = authenticator.authenticate(token)
  await eventually(() => expect(reads).toBe(2))
  opened.resolve()
  await underWay
  expect(await refusalOf(after)).toMatchObject(refused)
  expect(await refusalOf(authenticator.authenticate(token))).toMatchObject(refused)
})

test('a look-up begun while the log was not followed is not remembered', async () => {
  confirmedAt = () => 0
  const underWay = authenticator.authenticate(token)
  confirmedAt = () => Date.now()
  await underWay
  await authenticator.authenticate(token)
  expect(reads).toBe(2)
})

test.each([
  ['a new epoch', epochListeners],
  ['a failed delivery', failureListeners],
])('%s empties the memo', async (_what, listeners) => {
  await authenticator.authenticate(token)
  for (const listener of listeners) listener()
  await authenticator.authenticate(token)
  expect(reads).toBe(2)
})

test('an expired token is refused also from memory', async () => {
  const brief = `${token} ${Date.now() + 40}`
  await authenticator.authenticate(brief)
  await eventually(async () =>
    expect(await refusalOf(authenticator.authenticate(brief))).toMatchObject({ code: 'token_expired' }),
  )
})

test('the memo holds 10,000 tokens and drops the least recently used', async () => {
  const variant = (index: number): string => `${token} ${Date.now() + 900_000 + index}`
  const first = variant(0)
  const second = variant(1)
  await authenticator.authenticate(first)
  await authenticator.authenticate(second)
  for (let index = 2; index < 10_000; index += 100) {
    await Promise.all(
      Array.from({ length: Math.min(100, 10_000 - index) }, (_, at) =>
        authenticator.authenticate(variant(index + at)),
      ),
    )
  }
  await authenticator.authenticate(first)
  await authenticator.authenticate(variant(10_000))
  const before = reads
  await authenticator.authenticate(first)
  expect(reads).toBe(before)
  await authenticator.authenticate(second)
  expect(reads).toBe(before + 1)
})

test('a session is noted as seen at most once a minute', async () => {
  const lastSeen = async (): Promise<string> => {
    const [row] = await real.read(
      (sql) => sql<{ at: string }[]>`select last_seen_at as at from sessions where id = ${sessionId}`,
    )
    return row!.at
  }
  const fresh = await lastSeen()
  await authenticator.authenticate(token)
  await authenticator[Symbol.asyncDispose]()
  expect(await lastSeen()).toBe(fresh)

  await real.transact(
    (tx) => tx`update sessions set last_seen_at = now() - interval '2 minutes' where id = ${sessionId}`,
  )
  const old = await lastSeen()
  authenticator.forget(userId)
  await authenticator.authenticate(token)
  await eventually(async () => expect(await lastSeen()).not.toBe(old))
})

const insertToken = async (expiresAt: string | null = null): Promise<{ id: string; text: string }> => {
  const text = newPersonalToken()
  const id = newId()
  await real.transact((tx) =>
    insertPersonalToken(tx, {
      id,
      userId,
      name: 'CI',
      tokenHash: personalTokenHash(text),
      scopes: ['read'],
      expiresAt,
    }),
  )
  return { id, text }
}

test('a personal access token is looked up once while the log is followed, then found without an await', async () => {
  const { id, text } = await insertToken()
  expect(authenticator.memoised(text)).toBeNull()
  const identity = await authenticator.authenticate(text)
  expect(identity).toEqual({
    actor: { userId, role: 'user', credential: { kind: 'token', tokenId: id, scopes: ['read'] } },
    expiresAt: Date.parse('9999-12-31T23:59:59.999Z'),
  })
  expect(authenticator.memoised(text)).toBe(identity)
  expect(reads).toBe(1)
})

test.each<[string, (id: string) => Control, boolean]>([
  ['its revocation', (tokenId) => ({ kind: 'token', tokenId }), false],
  ['that of another token', () => ({ kind: 'token', tokenId: newId() }), true],
  ['the end of a session', () => ({ kind: 'session', sessionId }), true],
  ['the end of all sessions', () => ({ kind: 'sessions', except: sessionId }), false],
  ['another role', () => ({ kind: 'role' }), false],
])('of a personal access token, %s in the log keeps the memo: %#', async (_what, control, isKept) => {
  const { id, text } = await insertToken()
  await authenticator.authenticate(text)
  publishControl(control(id))
  expect(authenticator.memoised(text) !== null).toBe(isKept)
})

test('a look-up of a personal access token that ends after its revocation is not remembered', async () => {
  const { id, text } = await insertToken()
  const opened = Promise.withResolvers<void>()
  gate = opened.promise
  const underWay = authenticator.authenticate(text)
  await eventually(() => expect(reads).toBe(1))
  await real.transact((tx) => revokePersonalToken(tx, userId, id))
  publishControl({ kind: 'token', tokenId: id })
  opened.resolve()
  await underWay
  expect(authenticator.memoised(text)).toBeNull()
  expect(await refusalOf(authenticator.authenticate(text))).toMatchObject(refused)
})

test('a personal access token past its expiry is refused from the memo and by its row', async () => {
  const { text } = await insertToken(new Date(Date.now() + 400).toISOString())
  await authenticator.authenticate(text)
  const expired = { code: 'token_expired' }
  await eventually(async () =>
    expect(await refusalOf(authenticator.authenticate(text))).toMatchObject(expired),
  )
  authenticator.forget(userId)
  await eventually(async () =>
    expect(await refusalOf(authenticator.authenticate(text))).toMatchObject(expired),
  )
})

test('a text of the right form that is no token is refused, not as revoked', async () => {
  const refusal = await refusalOf(authenticator.authenticate(newPersonalToken()))
  expect(refusal).toMatchObject({ code: 'unauthenticated', details: {} })
  expect(refusal).not.toMatchObject(refused)
})
