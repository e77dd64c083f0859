// Accounts administered by the operator's commands, by address: for the first admin and for emergencies. Invariant: each
// change goes through the write path with the system as actor, so that servers that run end sessions and sockets at once,
// and the log says what happened. The operator may take the last admin away: a command makes another.
import type { Passwords } from '../../auth/passwords.ts'
import { rejectCommonPassword } from '../../auth/passwords.ts'
import type { Tx } from '../../db/client.ts'
import { selectSessions } from '../../db/users/sessions.ts'
import { spendLinksTo } from '../../db/users/links.ts'
import { lockUser, selectCredentials, updatePasswordHash } from '../../db/users/users.ts'
import { AppError } from '../../errors.ts'
import type { AccountPatch } from '../../model/credentials.ts'
import { canonicalText } from '../../model/text-form.ts'
import type { Role, Session, User } from '../../model/user.ts'
import { systemWrite, write, type UnclaimedEffect, type WriteDeps } from '../write.ts'
import { setAccount } from './administration.ts'
import { createUser, normaliseEmail } from './new-user.ts'
import { endSessions } from './sessions.ts'

type HashDeps = WriteDeps & { passwords: Pick<Passwords, 'hash'> }

/** Sessions that are listed. */
const maxListed = 100

/** A verified account, with its Inbox. 409 `email_taken`, 422. */
export const createByOperator = async (
  deps: HashDeps,
  account: { email: string; name: string; role: Role; password: string },
): Promise<User> => {
  const { name, role, password } = account
  const email = normaliseEmail(account.email)
  rejectCommonPassword(password, '/password')
  const passwordHash = await deps.passwords.hash(password)
  const { value } = await write(deps, systemWrite, async (tx) => {
    const made = {
      email,
      name: canonicalText(name),
      role,
      passwordHash,
      timeZone: 'UTC',
      emailVerified: true,
    }
    const { user, entries } = await createUser(tx, made)
    return { value: user, entries }
  })
  return value
}

export type Changed = 'changed' | 'unchanged' | 'unknown'

/** Role and `disabled`, as far as the patch names them. @param email canonical, as in all that follow. */
export const changeByOperator = (deps: WriteDeps, email: string, patch: AccountPatch): Promise<Changed> =>
  changeAccountOf(deps, email, async (tx, { id }) => {
    const { entries } = await setAccount(tx, id, patch, null)
    return { value: entries.length > 0 ? 'changed' : 'unchanged', entries }
  })

/** Sets the password; every session, token and link of a reset ends. 422 for a common password. */
export const resetByOperator = async (deps: HashDeps, email: string, password: string): Promise<Changed> => {
  rejectCommonPassword(password, '/password')
  const passwordHash = await deps.passwords.hash(password)
  return changeAccountOf(deps, email, async (tx, { id }) => {
    await updatePasswordHash(tx, id, passwordHash)
    await spendLinksTo(tx, 'password_reset', email)
    return { value: 'changed', entries: await endSessions(tx, id, null, null) }
  })
}

/** Ends every session and token. */
export const endSessionsByOperator = (deps: WriteDeps, email: string): Promise<Changed> =>
  changeAccountOf(deps, email, async (tx, { id }) => ({
    value: 'changed',
    entries: await endSessions(tx, id, null, null),
  }))

/** The live sessions, last used first, at most 100; null for no account. */
export const sessionsOf = async ({ db }: WriteDeps, email: string): Promise<Session[] | null> =>
  db.of('operator').read(async (sql) => {
    const found = await selectCredentials(sql, email)
    if (!found) return null
    const rows = await selectSessions(sql, found.user.id, null, { limit: maxListed, after: null, page: null })
    return rows.slice(0, maxListed)
  })

/** Locks the account that has the address. */
const changeAccountOf = async (
  deps: WriteDeps,
  email: string,
  change: (tx: Tx, user: User) => Promise<UnclaimedEffect<Changed>>,
): Promise<Changed> => {
  const { value } = await write<Changed>(deps, systemWrite, async (tx) => {
    const found = await selectCredentials(tx, email)
    if (!found) return { value: 'unknown', entries: [] }
    const result = await change(tx, found.user)
    const now = await lockUser(tx, found.user.id)
    if (now?.user.email !== email)
      throw new AppError('conflict', 'The account changed; run the command again')
    return result
  })
  return value
}
