// Invitations to register, which admins send by mail: single use, for one address. Who registers by one has a verified
// address. They append nothing: a person without an account has no scope.
import type { CallerDatabase, Queryable, Tx } from '../../db/client.ts'
import type { Config } from '../../config.ts'
import {
  countInvitations,
  deleteInvitation,
  deleteOpenInvitations,
  selectInvitation,
  selectInvitations,
  type LinkRow,
} from '../../db/users/links.ts'
import { selectCredentials } from '../../db/users/users.ts'
import { AppError, notFound } from '../../errors.ts'
import type { Invitation, NewInvitation } from '../../model/invitation.ts'
import type { Actor } from '../../model/actor.ts'
import type { Slice } from '../../model/page.ts'
import { requireAdmin } from '../actor.ts'
import { readList, type ListedAt } from '../list.ts'
import { ownSubject } from '../subject.ts'
import { write, type WriteDeps, type WriteRequest, type WriteResult } from '../write.ts'
import { issueLink, openLinkOf, spendOnce } from './links.ts'
import { normaliseEmail } from './new-user.ts'

type Modes = Pick<Config, 'registration' | 'jwtKeys'>

/** The newest first, also accepted and expired ones until they are purged. */
export const listInvitations = (
  { db }: { db: CallerDatabase },
  actor: Actor,
  slice: Slice,
): Promise<ListedAt<Invitation>> => {
  requireAdmin(actor)
  return readList({ db }, actor.userId, slice, {
    select: (sql) => selectInvitations(sql, slice),
    count: countInvitations,
    item: (invitation) => invitation,
    key: ({ id }) => [id],
  })
}

/**
 * Sends an invitation; earlier ones of the address that are open count no longer. 409 `email_taken`, 403
 * `registration_closed` where the server takes no registrations at all.
 */
export const invite = async (
  deps: WriteDeps & { config: Modes },
  request: WriteRequest<Invitation>,
  { email }: NewInvitation,
): Promise<WriteResult<Invitation>> => {
  const { actor } = request
  requireAdmin(actor)
  if (deps.config.registration === 'closed') throw new AppError('registration_closed')
  const address = normaliseEmail(email)
  return write(deps, request, async (tx) => {
    if (await selectCredentials(tx, address)) throw new AppError('email_taken')
    await deleteOpenInvitations(tx, address)
    const id = await issueLink(tx, { kind: 'invitation', email: address, inviterId: actor.userId })
    return { value: (await selectInvitation(tx, id))!, entries: [], subject: ownSubject }
  })
}

/** Withdraws it: its link is refused from now on. 404. */
export const withdrawInvitation = async (
  deps: WriteDeps,
  request: WriteRequest<null>,
  id: string,
): Promise<WriteResult<null>> => {
  requireAdmin(request.actor)
  return write(deps, request, async (tx) => {
    if (!(await deleteInvitation(tx, id))) throw notFound()
    return { value: null, entries: [], subject: ownSubject }
  })
}

/**
 * The invitation of a registration, null for one without. 403 `registration_closed`, `invitation_required`; 422
 * `link_invalid`, 410, 409 `link_other_account` for another address than the invited one.
 */
export const admitRegistration = async (
  config: Modes,
  sql: Queryable,
  address: string,
  token: string | undefined,
): Promise<LinkRow | null> => {
  if (config.registration === 'closed') throw new AppError('registration_closed')
  if (token === undefined) {
    if (config.registration === 'invite') throw new AppError('invitation_required')
    return null
  }
  const link = await openLinkOf(config, sql, 'invitation', { token, pointer: '/invitation' })
  if (link.email !== address) throw new AppError('link_other_account')
  return link
}

/** In the transaction that creates the account. */
export const acceptInvitation = (tx: Tx, { id }: LinkRow): Promise<void> => spendOnce(tx, id)
