// Links that are sent by mail: made, sent, spent. The request that asks for one inserts its row and a delivery in one
// transaction; the worker derives the token when it makes the mail. Each way in which a link fails has its own code.
//
// The problem: a mail is sent by a job, minutes after the request if the mail server is away, and it has to contain a
// secret. Stored in the job's row, the secret would be in the database, in its backups, in Redis and on the page of
// failed jobs, for as long as these are kept; hashed, as a password, it could not be sent. So it is stored nowhere: the
// token is an HMAC of the link's id under a key of the server (`auth/link-tokens.ts`), which the request that inserts
// the row does not compute, the worker computes to write the mail, and the confirmation computes again to compare. A
// repeated attempt writes the same token. The price: a key that leaves JWT_SECRETS ends the links made under it.
import { linkIdOf, linkTokenOf } from '../../auth/link-tokens.ts'
import type { Config } from '../../config.ts'
import type { Queryable, Tx } from '../../db/client.ts'
import { insertDeliveries } from '../../db/deliveries/deliveries.ts'
import { bindLink, insertLink, selectLink, spendLink, type LinkRow } from '../../db/users/links.ts'
import { lockUser, selectCredentials, selectCredentialsById, type Credentials } from '../../db/users/users.ts'
import { AppError } from '../../errors.ts'
import type { LinkKind } from '../../model/invitation.ts'
import { newId } from '../../model/scalar.ts'
import { systemWrite, write, type WriteDeps } from '../write.ts'

/** How long links count, in seconds. */
const lifetimes: Record<LinkKind, number> = {
  password_reset: 60 * 60,
  verification: 3 * 24 * 60 * 60,
  invitation: 7 * 24 * 60 * 60,
}

/** Inserts a link and the delivery of its mail, and returns its id. */
export const issueLink = async (
  tx: Tx,
  link: { kind: LinkKind; email: string; userId?: string; inviterId?: string },
): Promise<string> => {
  const id = newId()
  const { kind, email, userId = null, inviterId = null } = link
  await insertLink(tx, { id, kind, email, userId, inviterId, seconds: lifetimes[kind] })
  await insertDeliveries(tx, [
    { kind: `mail.${kind}`, payload: { linkId: id }, dedupeKey: `mail.${kind} ${id}` },
  ])
  return id
}

/** What a mail says. */
export interface LinkToSend {
  kind: LinkKind
  email: string
  /** Of the account; null in an invitation. */
  name: string | null
  /** Who invites; null in other mails, and where that account is gone. */
  inviterName: string | null
  token: string
  expiresAt: string
}

/**
 * The link as its mail is made; null where there is nothing to send: it was used, has expired or was withdrawn, or no
 * account that can sign in has the address (any more). Repeated for the same link it returns the same.
 */
export const linkToSend = async (
  deps: WriteDeps & { config: Pick<Config, 'jwtKeys'> },
  linkId: string,
): Promise<LinkToSend | null> => {
  const { value } = await write<LinkToSend | null>(deps, systemWrite, async (tx) => {
    const link = await selectLink(tx, linkId)
    if (link?.state !== 'open') return { value: null, entries: [] }
    const recipient = await recipientOf(tx, link)
    if (recipient === null) return { value: null, entries: [] }
    const { kind, email, inviterName, expiresAt } = link
    const token = linkTokenOf(deps.config, kind, link.id)
    return { value: { kind, email, inviterName, expiresAt, token, ...recipient }, entries: [] }
  })
  return value
}

const recipientOf = async (tx: Tx, link: LinkRow): Promise<{ name: string | null } | null> => {
  const account = await selectCredentials(tx, link.email)
  if (link.kind === 'invitation') return account ? null : { name: null }
  if (!account || account.isDisabled) return null
  const { id, name, emailVerified } = account.user
  if (link.userId !== null && link.userId !== id) return null
  if (link.kind === 'verification' && emailVerified) return null
  // From here on a reset is of this account, also if another one has the address when the link is used.
  if (link.userId === null) await bindLink(tx, link.id, id)
  return { name }
}

/** The link of a token, before anything that costs more. 422 `link_invalid`, 410 `link_used`, `link_expired`. */
export const openLinkOf = async (
  config: Pick<Config, 'jwtKeys'>,
  sql: Queryable,
  kind: LinkKind,
  { token, pointer = '/token' }: { token: string; pointer?: string },
): Promise<LinkRow> => {
  const id = linkIdOf(config, kind, token)
  if (id === null)
    throw new AppError('link_invalid', undefined, { errors: [{ pointer, detail: 'is no token of a link' }] })
  const link = await selectLink(sql, id)
  // A row is deleted after it has expired, and where an invitation is withdrawn.
  if (!link || link.state === 'expired') throw new AppError('link_expired')
  if (link.state === 'used') throw new AppError('link_used')
  return link
}

/**
 * Locks the account that a link is for and spends the link. 409 `link_other_account` where the account does not have the
 * address any more, 403 `user_disabled`, 410.
 */
export const spendLinkOfAccount = async (tx: Tx, link: LinkRow): Promise<Credentials> => {
  const found = link.userId === null ? null : await selectCredentialsById(tx, link.userId)
  const account = found && (await lockUser(tx, found.user.id))
  if (account?.user.email !== link.email) throw new AppError('link_other_account')
  if (account.isDisabled) throw new AppError('user_disabled')
  await spendOnce(tx, link.id)
  return account
}

/** 410: of equal requests the first one spends it. */
export const spendOnce = async (tx: Tx, id: string): Promise<void> => {
  if (await spendLink(tx, id)) return
  const now = await selectLink(tx, id)
  throw new AppError(now?.state === 'used' ? 'link_used' : 'link_expired')
}
