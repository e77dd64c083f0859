// Registration and sign-in. Invariant: neither the response nor the duration of a failed sign-in reveals whether the
// address has an account.
import { rejectCommonPassword, type PasswordCheck, type Passwords } from '../../auth/passwords.ts'
import { lockUser, selectCredentials, updatePasswordHash, type Credentials } from '../../db/users/users.ts'
import { acceptInvitation, admitRegistration } from './invitations.ts'
import { createUser, normaliseEmail } from './new-user.ts'
import { sessionAnswerOf, openSession, type Device, type SessionDeps } from './sessions.ts'
import { systemActorFor } from '../../model/actor.ts'
import { write } from '../write.ts'
import { AppError, messageOf } from '../../errors.ts'
import type { Log } from '../../log.ts'
import type { Registration, SignIn } from '../../model/credentials.ts'
import { canonicalEmail, canonicalText, earlierEmail } from '../../model/text-form.ts'
import type { SessionAnswer } from '../../model/user.ts'

export type AuthDeps = SessionDeps & { passwords: Passwords; log: Log }

/**
 * Creates an account with its Inbox and signs it in. 409 `email_taken`, 422, 503 when too many passwords wait, and what
 * `admitRegistration` refuses.
 */
export const register = async (
  deps: AuthDeps,
  { email, name, password, timeZone = 'UTC', invitation: token }: Registration,
  device: Device,
): Promise<SessionAnswer> => {
  const address = normaliseEmail(email)
  const { config } = deps
  const isOpen = config.registration === 'open' && token === undefined
  const invitation = isOpen
    ? null
    : await deps.db.of(device.caller).read((sql) => admitRegistration(config, sql, address, token))
  rejectCommonPassword(password, '/password')
  const passwordHash = await deps.passwords.hash(password)
  const { value: opened } = await write(
    deps,
    { actor: systemActorFor(device.caller), claim: null },
    async (tx) => {
      if (invitation) await acceptInvitation(tx, invitation)
      const emailVerified = invitation !== null
      const account = { email: address, name: canonicalText(name), passwordHash, timeZone, emailVerified }
      const { user, entries } = await createUser(tx, account)
      const { opened } = await openSession(tx, user, device, deps.config)
      return { value: opened, entries }
    },
  )
  return sessionAnswerOf(deps, opened)
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
