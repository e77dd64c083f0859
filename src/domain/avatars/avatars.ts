// Pictures of people. Invariants: the object exists before its row names it, and is listed for deletion in the transaction
// that takes the name away (by a trigger); a crash in between leaves an object without a row, which the sweep deletes.
import type { CallerDatabase, Tx } from '../../db/client.ts'
import { insertFileDeletions } from '../../db/files/file-deletions.ts'
import { selectAvatar, updateAvatar, type Avatar } from '../../db/users/avatars.ts'
import { lockUser } from '../../db/users/users.ts'
import { AppError, invalid, messageOf, notFound } from '../../errors.ts'
import type { Log } from '../../log.ts'
import type { Actor } from '../../model/actor.ts'
import { newId } from '../../model/scalar.ts'
import { userScope } from '../../model/scope.ts'
import type { User } from '../../model/user.ts'
import type { Storage } from '../../storage/storage.ts'
import { ownSubject } from '../subject.ts'
import { userUpdated } from '../users/users.ts'
import { write, type Effect, type WriteDeps, type WriteRequest, type WriteResult } from '../write.ts'
import { maxSide, type Bytes } from './bytes.ts'
import { plainImage, type PlainImage } from './plain-image.ts'

export type AvatarDeps = WriteDeps & { storage: Storage; log: Log }

/** 415 `unsupported_type` for what is no well-formed picture, 422 for one with more than `maxSide` pixels a side. */
export const acceptPicture = async (bytes: Bytes): Promise<PlainImage> => {
  const image = await plainImage(bytes)
  if (!image)
    throw new AppError('unsupported_type', 'The content must be a well-formed PNG, JPEG, GIF or WebP picture')
  if (image.width > maxSide || image.height > maxSide)
    throw invalid({ pointer: '/file', detail: `must have at most ${maxSide} pixels a side` })
  return image
}

/** Replaces the actor's picture. 503 while the storage is away. */
export const setAvatar = async (
  deps: AvatarDeps,
  request: WriteRequest<User>,
  { bytes, contentType }: PlainImage,
): Promise<WriteResult<User>> => {
  const avatar = { key: `avatars/${newId()}`, contentType }
  try {
    await deps.storage.put(avatar.key, bytes)
  } catch (error) {
    // The object may exist all the same, or be stored later; no row has named it. What fails is found by the sweep.
    const { userId } = request.actor
    await deps.db
      .of(userId)
      .transact((tx) => insertFileDeletions(tx, [avatar.key]))
      .catch(() => {})
    throw error
  }
  try {
    const result = await write(deps, request, (tx) => exchange(tx, request.actor, avatar))
    if (result.kind === 'replayed') await discard(deps, avatar)
    return result
  } catch (error) {
    // 503 may be the unknown outcome of a COMMIT, after which the row may name the object.
    if (error instanceof AppError && error.status < 500) await discard(deps, avatar)
    throw error
  }
}

/** 404 where there is none. */
export const removeAvatar = (deps: WriteDeps, request: WriteRequest<null>): Promise<WriteResult<null>> =>
  write(deps, request, async (tx) => {
    if (!(await selectAvatar(tx, request.actor.userId))) throw notFound()
    return { ...(await exchange(tx, request.actor, null)), value: null }
  })

/** Of any account, for everyone who is signed in. 404 where there is none. */
export const getAvatar = async (
  { db }: { db: CallerDatabase },
  actor: Actor,
  userId: string,
): Promise<Avatar> => {
  const avatar = await db.of(actor.userId).read((sql) => selectAvatar(sql, userId))
  if (!avatar) throw notFound()
  return avatar
}

const exchange = async (tx: Tx, { userId }: Actor, avatar: Avatar | null): Promise<Effect<User>> => {
  // The claimed key refers to the row: two claims that each waited for the other's lock would not end.
  const before = await lockUser(tx, userId, 'no key update')
  if (!before) throw notFound()
  const after = await updateAvatar(tx, userId, avatar)
  return {
    value: after,
    entries: [userUpdated(before.user, after, ['avatarUrl'], userId)],
    cursorScope: userScope(userId),
    subject: ownSubject,
  }
}

/** Deletes an object that no row names. What fails is found by the sweep. */
const discard = async ({ storage, log }: AvatarDeps, { key }: Avatar): Promise<void> => {
  try {
    await storage.delete(key)
  } catch (error) {
    log.warn({ cause: messageOf(error), key }, 'object without a row not deleted')
  }
}
