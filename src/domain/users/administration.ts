// Accounts administered by admins: list, creation, role, disabling, deletion. Every change is an entry in the scope of
// the account, so that its open sockets and its tokens end or change on every process.
import { rejectCommonPassword, type Passwords } from '../../auth/passwords.ts'
import type { CallerDatabase, Tx } from '../../db/client.ts'
import {
  countAccounts,
  lockAccount,
  selectAccount,
  selectAccounts,
  updateAccount,
} from '../../db/users/accounts.ts'
import { notFound } from '../../errors.ts'
import type { Actor } from '../../model/actor.ts'
import type { AccountPatch, NewAccount } from '../../model/credentials.ts'
import type { Entry } from '../../model/event.ts'
import type { Slice } from '../../model/page.ts'
import { userScope } from '../../model/scope.ts'
import { canonicalText } from '../../model/text-form.ts'
import type { Account } from '../../model/user.ts'
import { requireAdmin } from '../actor.ts'
import { readList, type ListedAt } from '../list.ts'
import { ownSubject } from '../subject.ts'
import { write, type WriteDeps, type WriteRequest, type WriteResult } from '../write.ts'
import { removeAccount } from './account-deletion.ts'
import { lockAdmins, requireOtherAdmin } from './last-admin.ts'
import { controlEntry, endSessions } from './sessions.ts'
import { createUser, normaliseEmail } from './new-user.ts'

/** All accounts, the oldest first. Not kept: no head covers all of them. */
export const listAccounts = (
  { db }: { db: CallerDatabase },
  actor: Actor,
  slice: Slice,
): Promise<ListedAt<Account>> => {
  requireAdmin(actor)
  return readList({ db }, actor.userId, slice, {
    select: (sql) => selectAccounts(sql, slice),
    count: countAccounts,
    item: (account) => account,
    key: ({ id }) => [id],
  })
}

export const getAccount = async (
  { db }: { db: CallerDatabase },
  actor: Actor,
  id: string,
): Promise<Account> => {
  requireAdmin(actor)
  const account = await db.of(actor.userId).read((sql) => selectAccount(sql, id))
  if (!account) throw notFound()
  return account
}

/** Creates an account with its Inbox, without a session. 409 `email_taken`, 422. */
export const createAccount = async (
  deps: WriteDeps & { passwords: Passwords },
  request: WriteRequest<Account>,
  { email, name, password, role, timeZone }: NewAccount,
): Promise<WriteResult<Account>> => {
  const { actor } = request
  requireAdmin(actor)
  const address = normaliseEmail(email)
  if (password) rejectCommonPassword(password, '/password')
  const passwordHash = password ? await deps.passwords.hash(password, actor.userId) : null
  return write(deps, request, async (tx) => {
    const { user, entries } = await createUser(tx, {
      email: address,
      name: canonicalText(name),
      passwordHash,
      timeZone: timeZone ?? 'UTC',
      role: role ?? 'user',
    })
    const cursorScope = userScope(user.id)
    return { value: { ...user, disabled: false }, entries, cursorScope, subject: ownSubject }
  })
}

/** A merge patch of role and `disabled`. 404; 409 `last_admin`. */
export const changeAccount = async (
  deps: WriteDeps,
  request: WriteRequest<Account>,
  id: string,
  patch: AccountPatch,
): Promise<WriteResult<Account>> => {
  const { actor } = request
  await requireAdminFor(deps, actor, id)
  return write(deps, request, async (tx) => {
    const { account, entries } = await setAccount(tx, id, patch, actor.userId)
    if (!account) throw notFound()
    return { value: account, entries, cursorScope: userScope(id), subject: ownSubject }
  })
}

/**
 * Also deletes the actor's own account, without a password: an admin can delete every other one. 404; 409 `sole_owner`,
 * `last_admin`.
 */
export const deleteOtherAccount = async (
  deps: WriteDeps,
  request: WriteRequest<null>,
  id: string,
): Promise<WriteResult<null>> => {
  const { actor } = request
  await requireAdminFor(deps, actor, id)
  // The claim of a key is a row of the actor's, and would go with the account before it is filled.
  return removeAccount(deps, id === actor.userId ? { actor, claim: null } : request, id, null)
}

/**
 * Sets role and `disabled` as far as the patch names them, and returns the account, null for none, and the entries.
 * @param actorId null for the operator, who may take the last admin away.
 */
export const setAccount = async (
  tx: Tx,
  id: string,
  patch: AccountPatch,
  actorId: string | null,
): Promise<{ account: Account | null; entries: Entry[] }> => {
  const mayTakeAdmin = patch.disabled === true || ('role' in patch && patch.role !== 'admin')
  if (mayTakeAdmin) await lockAdmins(tx)
  const before = await lockAccount(tx, id)
  if (!before) return { account: null, entries: [] }
  const wanted = {
    id,
    role: patch.role === undefined ? before.role : (patch.role ?? 'user'),
    disabled: patch.disabled === undefined ? before.disabled : (patch.disabled ?? false),
  }
  const changed = (['role', 'disabled'] as const).filter((field) => wanted[field] !== before[field])
  if (changed.length === 0) return { account: before, entries: [] }
  const isTaken = isActiveAdmin(before) && !isActiveAdmin(wanted)
  if (isTaken && actorId !== null) await requireOtherAdmin(tx, id)
  const after = await updateAccount(tx, wanted)
  return { account: after, entries: await entriesOf(tx, before, after, [...changed], actorId) }
}

const isActiveAdmin = ({ role, disabled }: Pick<Account, 'role' | 'disabled'>): boolean =>
  role === 'admin' && !disabled

/** What clients show comes first: the control entries close the sockets that it would reach. */
const entriesOf = async (
  tx: Tx,
  before: Account,
  after: Account,
  changed: ('role' | 'disabled')[],
  actorId: string | null,
): Promise<Entry[]> => {
  const { id } = after
  const { disabled: _, ...data } = after
  const entries: Entry[] = [
    {
      scope: userScope(id),
      type: 'user.updated',
      id,
      data,
      actorId,
      changed,
      changes: Object.fromEntries(changed.map((field) => [field, { from: before[field], to: after[field] }])),
    },
  ]
  if (after.disabled && !before.disabled) {
    entries.push(...(await endSessions(tx, id, null, actorId)))
    entries.push(controlEntry(id, { kind: 'disabled' }, actorId))
  } else if (after.role !== before.role) entries.push(controlEntry(id, { kind: 'role' }, actorId))
  return entries
}

/** 404 for an account that does not exist, which everyone may find out; 403 for everyone but admins. */
const requireAdminFor = async ({ db }: WriteDeps, actor: Actor, id: string): Promise<void> => {
  if (actor.role === 'admin') return
  if (await db.of(actor.userId).read((sql) => selectAccount(sql, id))) requireAdmin(actor)
  throw notFound()
}
