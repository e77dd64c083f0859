// The actor's own account, and the public part of others. Invariant: the password that a change of address or password
// requires is checked against the row that is then changed.
import { rejectCommonPassword, type PasswordCheck, type Passwords } from '../../auth/passwords.ts'
import type { Tx, CallerDatabase } from '../../db/client.ts'
import type { Reads } from '../../db/reads.ts'
import {
  countUsersByText,
  lockUser,
  selectCredentialsById,
  selectUsersByText,
  updatePasswordHash,
  updateUser,
  type Credentials,
} from '../../db/users/users.ts'
import { requireSession } from '../actor.ts'
import { spendLinksTo } from '../../db/users/links.ts'
import { readList, type ListedAt } from '../list.ts'
import { ownSubject } from '../subject.ts'
import { endSessions } from './sessions.ts'
import { normaliseEmail } from './new-user.ts'
import { withEarlyReplay, write, type WriteResult, type WriteRequest, type WriteDeps } from '../write.ts'
import { AppError, invalid, notFound } from '../../errors.ts'
import { sessionIdOf, type Actor } from '../../model/actor.ts'
import { userScope } from '../../model/scope.ts'
import type { PasswordChange, UserPatch } from '../../model/credentials.ts'
import type { Entry } from '../../model/event.ts'
import type { Slice } from '../../model/page.ts'
import { canonicalText } from '../../model/text-form.ts'
import type { PublicUser, User } from '../../model/user.ts'

export type UserDeps = WriteDeps & { passwords: Passwords } & { checkPassword: PasswordCheck }

const writable = ['email', 'name', 'timeZone'] as const

export const getMe = async ({ reads }: { reads: Pick<Reads, 'user'> }, { userId }: Actor): Promise<User> => {
  const user = await reads.user(userId, userId)
  if (!user) throw notFound()
  return user
}

/** The public data; the address only of oneself. */
export const getUser = async (
  { reads }: { reads: Pick<Reads, 'user'> },
  actor: Actor,
  id: string,
): Promise<PublicUser> => {
  const user = await reads.user(actor.userId, id)
  if (!user) throw notFound()
  const { name, avatarUrl, email } = user
  return { id: user.id, name, avatarUrl, ...(user.id === actor.userId && { email }) }
}

/** Users whose folded name begins with the text's, or whose address equals it, by name. Not kept: no head covers them. */
export const searchUsers = (
  { db }: { db: CallerDatabase },
  actor: Actor,
  text: string,
  slice: Slice,
): Promise<ListedAt<PublicUser>> => {
  const searched = canonicalText(text)
  return readList({ db }, actor.userId, slice, {
    select: (sql) => selectUsersByText(sql, actor, searched, slice),
    count: (sql) => countUsersByText(sql, actor, searched),
    item: ({ user }) => user,
    key: ({ key, user }) => [key, user.id],
  })
}

/**
 * A merge patch. 422 at `/currentPassword` where a new address lacks the right one; 409 `email_taken`; 403
 * `insufficient_scope` for an address or a password sent with a personal access token.
 */
export const updateMe = (
  deps: UserDeps,
  request: WriteRequest<User>,
  patch: UserPatch,
): Promise<WriteResult<User>> => {
  if (patch.email !== undefined || patch.currentPassword !== undefined) requireSession(request.actor)
  return withEarlyReplay(deps, request, () => patchMe(deps, request, patch))
}

const patchMe = async (
  deps: UserDeps,
  request: WriteRequest<User>,
  patch: UserPatch,
): Promise<WriteResult<User>> => {
  const { userId } = request.actor
  const email = patch.email === undefined ? null : normaliseEmail(patch.email)
  const seen =
    email === null ? null : await requirePassword(deps, userId, patch.currentPassword, { unlessEmail: email })
  return write(deps, request, async (tx) => {
    const { user: before } = await lockUnchangedAccount(tx, userId, seen)
    const wanted = {
      id: userId,
      email: email ?? before.email,
      name: patch.name === undefined ? before.name : canonicalText(patch.name),
      timeZone: patch.timeZone === undefined ? before.timeZone : (patch.timeZone ?? 'UTC'),
    }
    const changed = writable.filter((field) => wanted[field] !== before[field])
    if (changed.length === 0) return { value: before, entries: [], subject: ownSubject }
    const after = await updateUser(tx, wanted)
    // A new address is unverified, and links to the earlier one count for another address.
    const isUnverified = before.emailVerified && !after.emailVerified
    return {
      value: after,
      entries: [userUpdated(before, after, isUnverified ? [...changed, 'emailVerified'] : changed, userId)],
      cursorScope: userScope(userId),
      subject: ownSubject,
    }
  })
}

/** Ends every other session and revokes all personal access tokens. 422 at `/currentPassword` for a wrong one and at `/password` for a common one. */
export const changePassword = (
  deps: UserDeps,
  request: WriteRequest<User>,
  change: PasswordChange,
): Promise<WriteResult<User>> => withEarlyReplay(deps, request, () => replacePassword(deps, request, change))

const replacePassword = async (
  deps: UserDeps,
  request: WriteRequest<User>,
  { currentPassword, password }: PasswordChange,
): Promise<WriteResult<User>> => {
  const { actor } = request
  const { userId } = actor
  rejectCommonPassword(password, '/password')
  const seen = await requirePassword(deps, userId, currentPassword)
  const passwordHash = await deps.passwords.hash(password, userId)
  return write(deps, request, async (tx) => {
    const { user } = await lockUnchangedAccount(tx, userId, seen)
    await updatePasswordHash(tx, userId, passwordHash)
    await spendLinksTo(tx, 'password_reset', user.email)
    return {
      value: user,
      entries: await endSessions(tx, userId, sessionIdOf(actor)),
      cursorScope: userScope(userId),
      subject: ownSubject,
    }
  })
}

/**
 * The account whose password this is. 422 at `pointer` otherwise.
 * @param options `unlessEmail` an address that needs no password because the account has it already.
 */
export const requirePassword = async (
  { db, checkPassword }: Pick<UserDeps, 'db' | 'checkPassword'>,
  userId: string,
  password: string | undefined,
  { unlessEmail, pointer = '/currentPassword' }: { unlessEmail?: string; pointer?: string } = {},
): Promise<Credentials> => {
  const seen = await db.of(userId).read((sql) => selectCredentialsById(sql, userId))
  if (!seen) throw notFound()
  if (seen.user.email === unlessEmail) return seen
  if (password === undefined) throw invalid({ pointer, detail: 'is required for this change' })
  const { valid } = await checkPassword({ userId, email: seen.user.email }, password, seen.passwordHash)
  if (!valid) throw invalid({ pointer, detail: 'is not the current password' })
  return seen
}

/**
 * Locks the account; 409 where the password or the address that was seen has changed meanwhile. What needs neither leaves
 * rows that refer to the account alone: a claimed key does, and two claims that waited for each other would not end.
 */
export const lockUnchangedAccount = async (
  tx: Tx,
  userId: string,
  seen: Credentials | null,
): Promise<Credentials> => {
  const now = await lockUser(tx, userId, seen ? 'update' : 'no key update')
  if (!now) throw notFound()
  const isSame = !seen || (now.passwordHash === seen.passwordHash && now.user.email === seen.user.email)
  if (!isSame) throw new AppError('conflict', 'The account changed in between; try again')
  return now
}

/** @param actorId null for the system itself. */
export const userUpdated = (
  before: User,
  after: User,
  changed: (keyof User)[],
  actorId: string | null,
): Entry => ({
  scope: userScope(after.id),
  type: 'user.updated',
  id: after.id,
  data: after,
  actorId,
  changed,
  changes: Object.fromEntries(changed.map((field) => [field, { from: before[field], to: after[field] }])),
})
