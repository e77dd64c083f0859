// Which control entries end which credential.
import { expect, test } from 'bun:test'
import { isAboutAnother, isRevokedBy } from '../../src/auth/revocation.ts'
import type { Credential } from '../../src/model/actor.ts'
import type { Control } from '../../src/model/event.ts'

const session: Credential = { kind: 'session', sessionId: 'a' }
const token: Credential = { kind: 'token', tokenId: 'a', scopes: ['read'] }

test.each<[Control, boolean]>([
  [{ kind: 'session', sessionId: 'a' }, true],
  [{ kind: 'session', sessionId: 'b' }, false],
  [{ kind: 'sessions', except: null }, true],
  [{ kind: 'sessions', except: 'b' }, true],
  [{ kind: 'sessions', except: 'a' }, false],
  [{ kind: 'disabled' }, true],
  [{ kind: 'token', tokenId: 'a' }, false],
  [{ kind: 'role' }, false],
  [{ kind: 'revoke', userId: 'u' }, false],
  [{ kind: 'delete' }, false],
])('for a session, %p revokes: %p', (control, revokes) => {
  expect(isRevokedBy(session, control)).toBe(revokes)
})

test.each<[Control, boolean]>([
  [{ kind: 'token', tokenId: 'a' }, true],
  [{ kind: 'token', tokenId: 'b' }, false],
  [{ kind: 'session', sessionId: 'a' }, false],
  [{ kind: 'sessions', except: null }, true],
  [{ kind: 'sessions', except: 'a' }, true],
  [{ kind: 'disabled' }, true],
  [{ kind: 'role' }, false],
])('for a personal access token, %p revokes: %p', (control, revokes) => {
  expect(isRevokedBy(token, control)).toBe(revokes)
})

test('an entry is about another credential only where it names one', () => {
  expect(isAboutAnother(token, { kind: 'token', tokenId: 'b' })).toBe(true)
  expect(isAboutAnother(token, { kind: 'token', tokenId: 'a' })).toBe(false)
  expect(isAboutAnother(token, { kind: 'session', sessionId: 'a' })).toBe(true)
  expect(isAboutAnother(session, { kind: 'token', tokenId: 'a' })).toBe(true)
  expect(isAboutAnother(session, { kind: 'sessions', except: 'a' })).toBe(false)
  expect(isAboutAnother(session, { kind: 'role' })).toBe(false)
  expect(isAboutAnother(session, null)).toBe(false)
})

test('the end of sessions does not end a credential that is none, the end of the account does', () => {
  const system: Credential = { kind: 'system' }
  expect(isRevokedBy(system, { kind: 'sessions', except: null })).toBe(false)
  expect(isRevokedBy(system, { kind: 'disabled' })).toBe(true)
})
