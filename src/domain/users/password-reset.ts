// A new password for those who do not know theirs, by a link to the account's address. Invariant: a request does the same
// whether or not the address has an account, so that neither answer nor duration reveals it: whose address it is is
// looked up when the mail is made.
import { rejectCommonPassword, type Passwords } from '../../auth/passwords.ts'
import type { Config } from '../../config.ts'
import { spendLinksTo } from '../../db/users/links.ts'
import { updatePasswordHash } from '../../db/users/users.ts'
import { systemActorFor } from '../../model/actor.ts'
import type { PasswordReset } from '../../model/credentials.ts'
import { write, type WriteDeps } from '../write.ts'
import { verifyEmail } from './email-verification.ts'
import { issueLink, openLinkOf, spendLinkOfAccount } from './links.ts'
import { normaliseEmail } from './new-user.ts'
import { endSessions } from './sessions.ts'

export type ResetDeps = WriteDeps & { config: Config; passwords: Passwords }

/** Appends nothing. 422 for what is no address. @param caller under whose limits it runs. */
export const requestPasswordReset = async (deps: WriteDeps, email: string, caller: string): Promise<void> => {
  const address = normaliseEmail(email)
  await write(deps, { actor: systemActorFor(caller), claim: null }, async (tx) => ({
    value: await issueLink(tx, { kind: 'password_reset', email: address }),
    entries: [],
  }))
}

/**
 * Sets the password and ends every session and token of the account. Its address is verified by it: the link came from
 * a mail to it. 422 `link_invalid`, 410 `link_used`, `link_expired`, 409 `link_other_account`, 403 `user_disabled`.
 */
export const resetPassword = async (
  deps: ResetDeps,
  { token, password }: PasswordReset,
  caller: string,
): Promise<void> => {
  const link = await deps.db
    .of(caller)
    .read((sql) => openLinkOf(deps.config, sql, 'password_reset', { token }))
  rejectCommonPassword(password, '/password')
  const passwordHash = await deps.passwords.hash(password)
  await write(deps, { actor: systemActorFor(caller), claim: null }, async (tx) => {
    const { user } = await spendLinkOfAccount(tx, link)
    await spendLinksTo(tx, 'password_reset', user.email)
    await updatePasswordHash(tx, user.id, passwordHash)
    const verified = await verifyEmail(tx, user)
    return { value: null, entries: [...verified, ...(await endSessions(tx, user.id, null))] }
  })
}
