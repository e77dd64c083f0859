// An upload through the server, safe against a kill at any point. The row is inserted first, in a transaction of its own,
// then the object is stored, then the row is completed with its entries in the write of the request:
//
//   killed before the row: a temporary file, which the storage removes later
//   killed before the object, or before the completion commits: a row that expires; the sweep deletes it, and with it
//     lists the object, whether it exists or not
//   killed after the completion: nothing is missing
//
// Naively the object comes first and the row after it: a kill between them leaves an object that no row names. Invariant:
// no object is ever stored whose key is not in a committed row.
import type { CallerDatabase, Tx } from '../../db/client.ts'
import {
  completeUpload,
  deleteAttachment,
  insertUpload,
  isOwned,
  lockStoredBytes,
  type NewUpload,
} from '../../db/files/attachments.ts'
import { insertFileDeletions } from '../../db/files/file-deletions.ts'
import { AppError, unavailable } from '../../errors.ts'
import type { Actor } from '../../model/actor.ts'
import type { Attachment, AttachmentType } from '../../model/attachment.ts'
import { newId } from '../../model/scalar.ts'
import { projectScope } from '../../model/scope.ts'
import type { Storage } from '../../storage/storage.ts'
import type { TemporaryFile } from '../../storage/temporary-file.ts'
import { authorizeTask, requireNotArchived } from '../access.ts'
import { taskSubject } from '../subject.ts'
import { changeTaskCounter, lockTaskFor } from '../tasks/task-counters.ts'
import { withEarlyReplay, write, type WriteDeps, type WriteRequest, type WriteResult } from '../write.ts'
import { attachmentAdded } from './attachment-entries.ts'

/** Bytes one user has stored at most. */
export const maxStoredBytes = 1024 * 1024 * 1024

/** Longer than storing an object can take. */
const uploadSeconds = 3_600

export interface UploadDeps extends WriteDeps {
  storage: Storage
}

/** A file that has arrived. */
export interface ReceivedFile {
  file: TemporaryFile
  filename: string
  contentType: AttachmentType
  sha256: string
}

/** Before the body of an upload is read: 404, 403, 409 `project_archived`. */
export const requireAttachable = async (
  { db }: { db: CallerDatabase },
  actor: Actor,
  taskId: string,
): Promise<void> => {
  const access = await db.of(actor.userId).read((sql) => authorizeTask(sql, actor, taskId, 'write'))
  requireNotArchived(access)
}

/** A new key: the month keeps the folders of a disk small. */
export const attachmentKey = (): string =>
  `attachments/${new Date().toISOString().slice(0, 7)}/${crypto.randomUUID()}`

/** 404, 403, 409 `project_archived`, 413 `quota_exceeded`, 503 where the storage is away. */
export const addAttachment = (
  deps: UploadDeps,
  request: WriteRequest<Attachment>,
  taskId: string,
  { file, filename, contentType, sha256 }: ReceivedFile,
): Promise<WriteResult<Attachment>> =>
  // A repeat neither stores an object nor counts against the quota.
  withEarlyReplay(deps, request, async () => {
    const { actor } = request
    const upload = { id: newId(), taskId, filename, contentType, sha256, size: file.size }
    const storageKey = attachmentKey()
    await reserveUpload(deps, actor, {
      ...upload,
      storageKey,
      state: 'uploading',
      validSeconds: uploadSeconds,
    })
    try {
      await deps.storage.put(storageKey, file)
      const result = await write(deps, request, (tx) => complete(tx, actor, upload))
      // An equal request was faster: its answer is repeated, and this object is not needed.
      if (result.kind === 'replayed') await abandonUpload(deps, actor, upload.id, storageKey)
      return result
    } catch (error) {
      await abandonUpload(deps, actor, upload.id, storageKey).catch(() => {}) // it expires
      throw error
    }
  })

/** Inserts the row of an upload, which counts against the quota at once. 413 `quota_exceeded`. */
export const reserveUpload = (
  { db }: { db: CallerDatabase },
  actor: Actor,
  upload: Omit<NewUpload, 'uploaderId'>,
): Promise<Attachment> => db.of(actor.userId).transact((tx) => insertReserved(tx, actor, upload))

/** The same in a transaction. No other upload of the user is reserved until it ends. */
export const insertReserved = async (
  tx: Tx,
  actor: Actor,
  upload: Omit<NewUpload, 'uploaderId'>,
): Promise<Attachment> => {
  const stored = await lockStoredBytes(tx, actor.userId)
  if (stored + upload.size > maxStoredBytes)
    throw new AppError('quota_exceeded', 'Your files would take more than 1 GiB', {
      extra: { storedBytes: stored, maxBytes: maxStoredBytes },
    })
  return insertUpload(tx, { ...upload, uploaderId: actor.userId })
}

const complete = async (
  tx: Tx,
  actor: Actor,
  { id, taskId, contentType }: { id: string; taskId: string; contentType: AttachmentType },
) => {
  const row = await lockTaskFor(tx, actor, taskId, 'write')
  const attachment = await completeUpload(tx, id, 'uploading', contentType)
  if (!attachment) throw unavailable() // it expired while its object was stored
  const { projectId } = row.task
  return {
    value: attachment,
    entries: [
      ...attachmentAdded({ projectId, sharees: row.sharees }, attachment, actor.userId),
      ...(await changeTaskCounter(tx, row, 'attachmentCount', 1, actor.userId)),
    ],
    cursorScope: projectScope(projectId),
    subject: taskSubject(row.task),
  }
}

/**
 * Gives up an upload whose object may exist. Its row may be gone with the task, and it may be complete where the outcome
 * of the commit was unknown: then it stays.
 */
const abandonUpload = (
  { db }: { db: CallerDatabase },
  actor: Actor,
  id: string,
  storageKey: string,
): Promise<void> =>
  db.of(actor.userId).transact(async (tx) => {
    const isDeleted = await deleteAttachment(tx, id, ['uploading'])
    if (!isDeleted) {
      if (await isOwned(tx, storageKey)) return
      await insertFileDeletions(tx, [storageKey])
    }
  })
