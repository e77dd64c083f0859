// Which control entries end which credential.
import { expect, test } from 'bun:test'
import { isRevokedBy } from '../../src/auth/revocation.ts'
import type { Credential } from '../../src/model/actor.ts'
import type { Control } from '../../src/model/event.ts'

const session: Credential = { kind: 'session', sessionId: 'a' }

test.each<[Control, boolean]>([
  [{ kind: 'session', sessionId: 'a' }, true],
  [{ kind: 'session', sessionId: 'b' }, false],
  [{ kind: 'sessions', except: null }, true],
  [{ kind: 'sessions', except: 'b' }, true],
  [{ kind: 'sessions', except: 'a' }, false],
  [{ kind: 'disabled' }, true],
  [{ kind: 'role' }, false],
  [{ kind: 'revoke', userId: 'u' }, false],
  [{ kind: 'delete' }, false],
])('for a session, %p revokes: %p', (control, revokes) => {
  expect(isRevokedBy(session, control)).toBe(revokes)
})

test('the end of sessions does not end a credential that is none, the end of the account does', () => {
  const system: Credential = { kind: 'system' }
  expect(isRevokedBy(system, { kind: 'sessions', except: null })).toBe(false)
  expect(isRevokedBy(system, { kind: 'disabled' })).toBe(true)
})
