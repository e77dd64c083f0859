// The verification of a direct upload, by a worker. The URL of the upload stays valid for its hour, so the object it leads
// to can change while it is read and after it was verified. What is verified and shown is a copy under a key for which no
// URL was signed, read once, chunk by chunk, so that memory does not grow with its size. Each attempt makes a copy of its
// own: one that lost its job and continues writes to no object that another attempt has verified. Killed
//
//   before the copy, or before the completion commits: the next attempt names another copy, and this key is listed for
//     deletion, whether the object exists or not
//   after the completion: the object of the URL is listed for deletion
//
// Listed keys are deleted at once and again when nothing can write to them any more. Invariant: no copy is made whose key
// is not in a committed row.
import type { DatabaseCalls, Tx } from '../../db/client.ts'
import {
  beginCopy,
  completeUpload,
  deleteAttachment,
  selectAttachment,
  selectUploadKey,
} from '../../db/files/attachments.ts'
import { lockTasks, selectLockedTasks } from '../../db/tasks/tasks.ts'
import { unavailable } from '../../errors.ts'
import type { Attachment, AttachmentType, RemovalReason } from '../../model/attachment.ts'
import type { Entry } from '../../model/event.ts'
import { nilId } from '../../model/scalar.ts'
import type { ObjectInfo, Storage } from '../../storage/storage.ts'
import { changeTaskCounter } from '../tasks/task-counters.ts'
import { attachmentAdded, uploadRejected } from './attachment-entries.ts'
import { scanContent } from './content-scan.ts'
import { contentTypeOf } from './content-type.ts'
import { attachmentKey } from './upload.ts'

export interface VerifyDeps {
  db: Pick<DatabaseCalls, 'read' | 'transact'>
  storage: Pick<Storage, 'head' | 'copy' | 'get'>
}

type Verdict = { isGood: true; contentType: AttachmentType } | { isGood: false; reason: RemovalReason }

/** Completes the upload in a transaction; returns the entries to append. */
type Completion = (tx: Tx) => Promise<Entry[]>

/** @param signal ends the reading. @throws AppError 503 where the storage is away: try again. */
export const verifyDirectUpload = async (
  { db, storage }: VerifyDeps,
  id: string,
  signal: AbortSignal,
): Promise<Completion> => {
  const stored = await db.read((sql) => selectAttachment(sql, id))
  if (stored?.state !== 'verifying') return async () => []
  const uploadKey = await db.read((sql) => selectUploadKey(sql, id))
  if (uploadKey === null) return async () => []
  const copyKey = attachmentKey()
  // Before the copy is named: while the storage is away, each attempt would list the key of the last one for deletion.
  const found = await storage.head(uploadKey)
  const early = faultOf(found, stored.attachment)
  if (early) return (tx) => settle(tx, id, copyKey, early)
  if (!(await db.transact((tx) => beginCopy(tx, id, copyKey)))) return async () => []
  const verdict = await verdictOn(storage, stored.attachment, { uploadKey, copyKey }, signal)
  return (tx) => settle(tx, id, copyKey, verdict)
}

const bad = (reason: RemovalReason): Verdict => ({ isGood: false, reason })

const faultOf = (found: ObjectInfo | null, { size }: Attachment): Verdict | null => {
  if (!found) return bad('object_missing')
  return found.size === size ? null : bad('size_mismatch')
}

const verdictOn = async (
  storage: VerifyDeps['storage'],
  attachment: Attachment,
  { uploadKey, copyKey }: { uploadKey: string; copyKey: string },
  signal: AbortSignal,
): Promise<Verdict> => {
  const { size } = attachment
  if (!(await storage.copy(uploadKey, copyKey, size))) return bad('object_missing')
  const object = await storage.get(copyKey)
  if (!object) throw unavailable()
  if (object.size !== size) return bad('size_mismatch') // replaced before it was copied
  const { body } = object
  const { sha256, isText } = await scanContent(body instanceof Blob ? body.stream() : body, signal)
  if (sha256 !== attachment.sha256) return bad('hash_mismatch')
  const readPart = async (start: number, length: number): Promise<Uint8Array<ArrayBuffer>> => {
    const end = Math.min(size, start + length)
    if (start >= end) return new Uint8Array()
    const part = await storage.get(copyKey, { start, end })
    if (!part) throw unavailable()
    return new Response(part.body).bytes()
  }
  const contentType = await contentTypeOf({ size, read: readPart }, attachment.filename, isText)
  if (contentType === null) return bad('unsupported_type')
  return isSameType(contentType, attachment.contentType)
    ? { isGood: true, contentType }
    : bad('type_mismatch')
}

/** Only the name distinguishes kinds of text, and clients declare them differently. */
const isSameType = (found: AttachmentType, declared: AttachmentType): boolean =>
  found === declared || (found.startsWith('text/') && declared.startsWith('text/'))

const settle = async (tx: Tx, id: string, copyKey: string, verdict: Verdict): Promise<Entry[]> => {
  const stored = await selectAttachment(tx, id)
  if (stored?.state !== 'verifying') return []
  const { taskId, uploaderId } = stored.attachment
  await lockTasks(tx, [taskId])
  const [row] = await selectLockedTasks(tx, nilId, [taskId]) // without the access of a user
  if (!row) return [] // the upload was deleted with its task
  if (!verdict.isGood) {
    const isDeleted = await deleteAttachment(tx, id, ['verifying'])
    return isDeleted && uploaderId !== null
      ? uploadRejected(stored.attachment, uploaderId, verdict.reason)
      : []
  }
  const attachment = await completeUpload(tx, id, 'verifying', verdict.contentType, copyKey)
  if (!attachment) throw unavailable() // another attempt has named its own copy meanwhile: this one is made again
  return [
    ...attachmentAdded({ projectId: row.task.projectId, sharees: row.sharees }, attachment, uploaderId),
    ...(await changeTaskCounter(tx, row, 'attachmentCount', 1, uploaderId)),
  ]
}
