// Attachments that are complete: listing, download, removal. Users who may read a task read its attachments; users who
// may change its fields add and remove them.
import {
  countAttachments,
  deleteAttachment,
  selectAttachment,
  selectAttachments,
  type StoredAttachment,
} from '../../db/files/attachments.ts'
import { notFound } from '../../errors.ts'
import type { Actor } from '../../model/actor.ts'
import type { Attachment } from '../../model/attachment.ts'
import type { Slice } from '../../model/page.ts'
import { projectScope } from '../../model/scope.ts'
import { authorizeTask } from '../access.ts'
import type { ListDeps, ListedAt } from '../list.ts'
import { taskSubject } from '../subject.ts'
import { readListOfTask } from '../tasks/list-of-task.ts'
import { changeTaskCounter, lockTaskFor } from '../tasks/task-counters.ts'
import { write, type WriteDeps, type WriteRequest, type WriteResult } from '../write.ts'
import { attachmentRemoved } from './attachment-entries.ts'

/** Oldest first, for all who may read the task. */
export const listAttachments = (
  deps: ListDeps,
  actor: Actor,
  taskId: string,
  slice: Slice,
): Promise<ListedAt<Attachment>> =>
  readListOfTask(deps, actor, taskId, slice, {
    select: (sql) => selectAttachments(sql, taskId, slice),
    count: (sql) => countAttachments(sql, taskId),
    item: (attachment) => attachment,
    key: ({ createdAt, id }) => [createdAt, id],
  })

/** For a download. 404 for one of a task the actor may not read, and for an unfinished upload. */
export const getAttachment = (
  { db }: Pick<ListDeps, 'db'>,
  actor: Actor,
  id: string,
): Promise<StoredAttachment> =>
  db.of(actor.userId).read(async (sql) => {
    const stored = await selectAttachment(sql, id)
    if (stored?.state !== 'ready') throw notFound()
    await authorizeTask(sql, actor, stored.attachment.taskId, 'read')
    return stored
  })

/** Its object is deleted by a worker. 404, 403, 409 `project_archived`. */
export const removeAttachment = (
  deps: WriteDeps,
  request: WriteRequest<null>,
  id: string,
): Promise<WriteResult<null>> =>
  write(deps, request, async (tx) => {
    const { actor } = request
    const found = await selectAttachment(tx, id)
    if (found?.state !== 'ready') throw notFound()
    const { attachment } = found
    const row = await lockTaskFor(tx, actor, attachment.taskId, 'write')
    if (!(await deleteAttachment(tx, id, ['ready']))) throw notFound() // removed while this waited for the lock
    const { projectId } = row.task
    return {
      value: null,
      entries: [
        ...attachmentRemoved({ projectId, sharees: row.sharees }, attachment, actor.userId),
        ...(await changeTaskCounter(tx, row, 'attachmentCount', -1, actor.userId)),
      ],
      cursorScope: projectScope(projectId),
      subject: taskSubject(row.task),
    }
  })
