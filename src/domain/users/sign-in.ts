// Becoming known: registration and sign-in. Invariant: whether an address has an account shows in neither the
// answer nor the duration of a failed sign-in.
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
import { answerFor, openSession, type Device, type SessionDeps } from './sessions.ts'
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

/** Makes an account with its Inbox and signs it in. 409 `email_taken`, 422, 503 when too many passwords wait. */
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
  return answerFor(deps, opened)
}

/** A user and its Inbox, and what the log is to say. */
export const createUser = async (
  tx: Tx,
  account: Pick<User, 'email' | 'name' | 'timeZone'> &
    Partial<Pick<User, 'role' | 'emailVerified'>> & { passwordHash: string },
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
    // The version before kept addresses as they were typed: the worker brings them along, but for those whose
    // canonical form another account has.
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
      // Under the lock no change of the password can miss this session, and no other sign-in miscounts it.
      const now = await lockUser(tx, found.user.id, betterHash ? 'update' : 'no key update')
      requireSameAccount(found, now)
      if (betterHash) await updatePasswordHash(tx, now.user.id, betterHash)
      const { opened, entries } = await openSession(tx, now.user, device, deps.config)
      return { value: opened, entries }
    },
  )
  return answerFor(deps, opened)
}

/** The account is still the one whose password was right, and may sign in. */
function requireSameAccount(seen: Credentials, now: Credentials | null): asserts now is Credentials {
  if (now?.passwordHash !== seen.passwordHash) throw new AppError('invalid_credentials')
  if (now.isDisabled) throw new AppError('user_disabled')
}

/** Null when that cannot be done now: the next sign-in tries again. */
const rehash = async ({ passwords, log }: AuthDeps, password: string): Promise<string | null> =>
  passwords.hash(password).catch((error: unknown) => {
    log.warn({ cause: messageOf(error) }, 'a password hash stays outdated')
    return null
  })

/** The canonical form of an e-mail address. 422 for what cannot be one. */
export const normaliseEmail = (email: string, pointer = '/email'): string => {
  const address = canonicalEmail(email)
  if (/^[^\s@\p{Cc}]+@[^\s@\p{Cc}]+$/u.test(address) && !textFault(address, { maxLength: 254 }))
    return address
  throw invalid({ pointer, detail: 'must be an e-mail address' })
}
