// Registration and sign-in. Invariant: neither the response nor the duration of a failed sign-in reveals whether the
// address has an account.
import { rejectCommonPassword, type PasswordCheck, type Passwords } from '../../auth/passwords.ts'
import type { Tx } from '../../db/client.ts'
import {
  insertUser,
  lockUser,
  selectCredentials,
  updatePasswordHash,
  type Credentials,
} from '../../db/users/users.ts'
import { createInbox } from '../projects/projects.ts'
import { sessionAnswerOf, openSession, type Device, type SessionDeps } from './sessions.ts'
import { systemActorFor } from '../../model/actor.ts'
import { write } from '../write.ts'
import { AppError, invalid, messageOf } from '../../errors.ts'
import type { Log } from '../../log.ts'
import type { Registration, SignIn } from '../../model/credentials.ts'
import type { Entry } from '../../model/event.ts'
import { newId } from '../../model/scalar.ts'
import { canonicalEmail, canonicalText, earlierEmail } from '../../model/text-form.ts'
import { textFault } from '../../model/text.ts'
import type { SessionAnswer, User } from '../../model/user.ts'

export type AuthDeps = SessionDeps & { passwords: Passwords; log: Log }

/** Creates an account with its Inbox and signs it in. 409 `email_taken`, 422, 503 when too many passwords wait. */
export const register = async (
  deps: AuthDeps,
  { email, name, password, timeZone = 'UTC' }: Registration,
  device: Device,
): Promise<SessionAnswer> => {
  const address = normaliseEmail(email)
  rejectCommonPassword(password, '/password')
  const passwordHash = await deps.passwords.hash(password)
  const { value: opened } = await write(
    deps,
    { actor: systemActorFor(device.caller), claim: null },
    async (tx) => {
      const account = { email: address, name: canonicalText(name), passwordHash, timeZone }
      const { user, entries } = await createUser(tx, account)
      const { opened } = await openSession(tx, user, device, deps.config)
      return { value: opened, entries }
    },
  )
  return sessionAnswerOf(deps, opened)
}

/** Creates a user and its Inbox, and returns the entries. */
export const createUser = async (
  tx: Tx,
  account: Pick<User, 'email' | 'name' | 'timeZone'> &
    Partial<Pick<User, 'role' | 'emailVerified'>> & { passwordHash: string | null },
): Promise<{ user: User; entries: Entry[] }> => {
  const user = await insertUser(tx, { id: newId(), role: 'user', emailVerified: false, ...account })
  return { user, entries: await createInbox(tx, user.id) }
}

/** 401 `invalid_credentials`; 403 `user_disabled` after the right password; 429; 503 when too many wait. */
export const signIn = async (
  deps: AuthDeps & { checkPassword: PasswordCheck },
  { email, password }: SignIn,
  device: Device,
): Promise<SessionAnswer> => {
  const address = canonicalEmail(email)
  const found = await deps.db.of(device.caller).read(async (sql) => {
    // An earlier version stored addresses as typed: the worker normalises them, except those whose canonical form
    // another account has.
    const typed = earlierEmail(email)
    const old = typed === address ? null : await selectCredentials(sql, typed)
    return old ?? selectCredentials(sql, address)
  })
  const account = { userId: found?.user.id ?? null, email: address }
  const { valid, outdated } = await deps.checkPassword(account, password, found?.passwordHash ?? null)
  if (!found || !valid) throw new AppError('invalid_credentials')
  const betterHash = outdated ? await rehash(deps, password) : null
  const { value: opened } = await write(
    deps,
    { actor: systemActorFor(found.user.id), claim: null },
    async (tx) => {
      // The lock orders this against a change of the password, which ends this session, and against other sign-ins.
      const now = await lockUser(tx, found.user.id, betterHash ? 'update' : 'no key update')
      requireSameAccount(found, now)
      if (betterHash) await updatePasswordHash(tx, now.user.id, betterHash)
      const { opened, entries } = await openSession(tx, now.user, device, deps.config)
      return { value: opened, entries }
    },
  )
  return sessionAnswerOf(deps, opened)
}

/** The account still has the verified password, and is not disabled. */
function requireSameAccount(seen: Credentials, now: Credentials | null): asserts now is Credentials {
  if (now?.passwordHash !== seen.passwordHash) throw new AppError('invalid_credentials')
  if (now.isDisabled) throw new AppError('user_disabled')
}

/** Null if hashing fails now: the next sign-in retries. */
const rehash = async ({ passwords, log }: AuthDeps, password: string): Promise<string | null> =>
  passwords.hash(password).catch((error: unknown) => {
    log.warn({ cause: messageOf(error) }, 'outdated password hash not replaced')
    return null
  })

/** The canonical form of an e-mail address. 422 for what cannot be one. */
export const normaliseEmail = (email: string, pointer = '/email'): string => {
  const address = canonicalEmail(email)
  if (/^[^\s@\p{Cc}]+@[^\s@\p{Cc}]+$/u.test(address) && !textFault(address, { maxLength: 254 }))
    return address
  throw invalid({ pointer, detail: 'must be an e-mail address' })
}
