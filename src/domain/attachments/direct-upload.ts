// Direct uploads: the client stores the object in S3 by itself, past the servers, and a worker verifies it before it is
// shown. The states of a row, and what moves it on:
//
//   waiting → verifying   the client says that it has stored the object (`complete`), within an hour
//   waiting → gone        it does not
//   verifying → ready     size, hash and type are those that were declared: `attachment.added`
//   verifying → gone      they are not: `attachment.removed` with a reason, to the uploader alone
//
// Invariants: the URL is signed for the exact length and type that the quota was reserved for, and never for the key of an
// object that is shown.
import { insertDeliveries } from '../../db/deliveries/deliveries.ts'
import { beginVerification, selectAttachment } from '../../db/files/attachments.ts'
import { AppError, notFound } from '../../errors.ts'
import {
  attachmentTypes,
  maxDirectBytes,
  type Attachment,
  type AttachmentType,
  type DirectUpload,
  type NewDirectUpload,
} from '../../model/attachment.ts'
import { shownFileName } from '../../model/file-name.ts'
import { newId } from '../../model/scalar.ts'
import { authorizeTask, requireNotArchived } from '../access.ts'
import { taskSubject } from '../subject.ts'
import { lockTaskFor } from '../tasks/task-counters.ts'
import { write, type WriteRequest, type WriteResult } from '../write.ts'
import { attachmentKey, insertReserved, type UploadDeps } from './upload.ts'

const validSeconds = 3_600

/** 404, 403, 409 `project_archived`, `direct_upload_unavailable`, 413 `file_too_large`, `quota_exceeded`, 415. */
export const beginDirectUpload = async (
  deps: UploadDeps,
  request: WriteRequest<DirectUpload>,
  taskId: string,
  { filename, size, sha256, contentType: given }: NewDirectUpload,
): Promise<WriteResult<DirectUpload>> => {
  const { actor } = request
  const storageKey = attachmentKey()
  const contentType = typeOf(given)
  const presigned =
    contentType === null || size > maxDirectBytes
      ? null
      : await deps.storage.presignPut(storageKey, { size, contentType, expiresInSeconds: validSeconds })
  return write(deps, request, async (tx) => {
    const access = await authorizeTask(tx, actor, taskId, 'write')
    requireNotArchived(access)
    if (deps.storage.kind !== 's3') throw new AppError('direct_upload_unavailable')
    if (size > maxDirectBytes)
      throw new AppError('file_too_large', undefined, { extra: { maxBytes: maxDirectBytes } })
    if (contentType === null || !presigned) throw new AppError('unsupported_type')
    const id = newId()
    const { createdAt } = await insertReserved(tx, actor, {
      id,
      taskId,
      filename: shownFileName(filename),
      contentType,
      size,
      sha256,
      state: 'waiting',
      storageKey,
      validSeconds,
    })
    const expiresAt = new Date(Date.parse(createdAt) + validSeconds * 1_000).toISOString()
    const subject = taskSubject({ id: taskId, projectId: access.projectId })
    return { value: { id, ...presigned, expiresAt }, entries: [], subject }
  })
}

/** The declared type without its parameters; null where it is not allowed. */
const typeOf = (given: string): AttachmentType | null => {
  const bare = given.split(';', 1)[0]!.trim().toLowerCase()
  return attachmentTypes.find((type) => type === bare) ?? null
}

/**
 * Takes the object for stored and has it verified. Repeating it does nothing. 404 also for an upload of another user,
 * 410 `upload_expired`.
 */
export const completeDirectUpload = (
  deps: UploadDeps,
  request: WriteRequest<Attachment>,
  id: string,
): Promise<WriteResult<Attachment>> =>
  write(deps, request, async (tx) => {
    const { actor } = request
    const found = await selectAttachment(tx, id)
    if (!found || found.state === 'uploading' || found.attachment.uploaderId !== actor.userId)
      throw notFound()
    const { task } = await lockTaskFor(tx, actor, found.attachment.taskId, 'write')
    const stored = await selectAttachment(tx, id)
    if (!stored) throw notFound()
    if (stored.state === 'waiting') {
      if (stored.isExpired) throw new AppError('upload_expired')
      await beginVerification(tx, id)
      await insertDeliveries(tx, [
        { kind: 'files.verify', payload: { attachmentId: id }, dedupeKey: `files.verify:${id}` },
      ])
    }
    return { value: stored.attachment, entries: [], subject: taskSubject(task) }
  })
