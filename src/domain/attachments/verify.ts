// The verification of a direct upload, by a worker: the object is read once, chunk by chunk, so that memory does not grow
// with its size. Reading may be repeated; the transaction that completes the job decides by the verdict.
import type { DatabaseCalls, Tx } from '../../db/client.ts'
import {
  completeUpload,
  deleteAttachment,
  selectAttachment,
  type StoredAttachment,
} from '../../db/files/attachments.ts'
import { lockTasks, selectLockedTasks } from '../../db/tasks/tasks.ts'
import { unavailable } from '../../errors.ts'
import type { AttachmentType, RemovalReason } from '../../model/attachment.ts'
import type { Entry } from '../../model/event.ts'
import { nilId } from '../../model/scalar.ts'
import type { Storage } from '../../storage/storage.ts'
import { changeTaskCounter } from '../tasks/task-counters.ts'
import { attachmentAdded, uploadRejected } from './attachment-entries.ts'
import { scanContent } from './content-scan.ts'
import { contentTypeOf } from './content-type.ts'

export interface VerifyDeps {
  db: Pick<DatabaseCalls, 'read'>
  storage: Pick<Storage, 'head' | 'get'>
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
  const verdict = await verdictOn(storage, stored, signal)
  return (tx) => settle(tx, id, verdict)
}

const bad = (reason: RemovalReason): Verdict => ({ isGood: false, reason })

const verdictOn = async (
  storage: VerifyDeps['storage'],
  { attachment, storageKey }: StoredAttachment,
  signal: AbortSignal,
): Promise<Verdict> => {
  const { size } = attachment
  const found = await storage.head(storageKey)
  if (!found) return bad('object_missing')
  if (found.size !== size) return bad('size_mismatch')
  const object = await storage.get(storageKey)
  if (!object) return bad('object_missing')
  const { body } = object
  const { sha256, isText } = await scanContent(body instanceof Blob ? body.stream() : body, signal)
  if (sha256 !== attachment.sha256) return bad('hash_mismatch')
  const readPart = async (start: number, length: number): Promise<Uint8Array<ArrayBuffer>> => {
    const end = Math.min(size, start + length)
    if (start >= end) return new Uint8Array()
    const part = await storage.get(storageKey, { start, end })
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

const settle = async (tx: Tx, id: string, verdict: Verdict): Promise<Entry[]> => {
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
  const attachment = await completeUpload(tx, id, 'verifying', verdict.contentType)
  if (!attachment) return []
  return [
    ...attachmentAdded({ projectId: row.task.projectId, sharees: row.sharees }, attachment, uploaderId),
    ...(await changeTaskCounter(tx, row, 'attachmentCount', 1, uploaderId)),
  ]
}
