// Verification of the own address by a link to it. The link counts for account and address: a later change of the address
// makes it one of another address.
import type { Config } from '../../config.ts'
import type { Tx } from '../../db/client.ts'
import { selectUser, updateEmailVerified } from '../../db/users/users.ts'
import { AppError, notFound } from '../../errors.ts'
import { systemActorFor, type Actor } from '../../model/actor.ts'
import type { Entry } from '../../model/event.ts'
import type { User } from '../../model/user.ts'
import { write, type WriteDeps } from '../write.ts'
import { requireSession } from '../actor.ts'
import { issueLink, openLinkOf, spendLinkOfAccount } from './links.ts'
import { userUpdated } from './users.ts'

/** Sends nothing where the address is verified already. Appends nothing. */
export const requestVerification = async (deps: WriteDeps, actor: Actor): Promise<void> => {
  await write(deps, { actor, claim: null }, async (tx) => {
    const user = await selectUser(tx, actor.userId)
    if (!user) throw notFound()
    const { id: userId, email, emailVerified } = user
    if (!emailVerified) await issueLink(tx, { kind: 'verification', email, userId })
    return { value: null, entries: [] }
  })
}

/**
 * 422 `link_invalid`, 410 `link_used`, `link_expired`, 409 `link_other_account`, 403 `user_disabled`.
 * @param signedIn whose session the request has; null for none: the link may be opened in another browser.
 */
export const confirmVerification = async (
  deps: WriteDeps & { config: Config },
  token: string,
  signedIn: Actor | null,
  caller: string,
): Promise<void> => {
  const link = await deps.db.of(caller).read((sql) => openLinkOf(deps.config, sql, 'verification', { token }))
  if (signedIn) requireSession(signedIn)
  if (signedIn && signedIn.userId !== link.userId) throw new AppError('link_other_account')
  await write(deps, { actor: systemActorFor(caller), claim: null }, async (tx) => {
    const { user } = await spendLinkOfAccount(tx, link)
    return { value: null, entries: await verifyEmail(tx, user) }
  })
}

/** Marks the address of a locked account as verified, and returns the entries: none where it was. */
export const verifyEmail = async (tx: Tx, user: User): Promise<Entry[]> => {
  if (user.emailVerified) return []
  const after = await updateEmailVerified(tx, user.id)
  return [userUpdated(user, after, ['emailVerified'], user.id)]
}
