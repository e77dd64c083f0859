// Attachments that are there: listed, downloaded, removed. Whoever reads a task reads its attachments; who may change
// its fields adds and removes them.
import {
  countAttachments,
  deleteAttachment,
  selectAttachment,
  selectAttachments,
  type StoredAttachment,
} from '../../db/files/attachments.ts'
import type { TaskAccessRow } from '../../db/tasks/shares.ts'
import { notFound } from '../../errors.ts'
import type { Actor } from '../../model/actor.ts'
import type { Attachment } from '../../model/attachment.ts'
import type { Slice } from '../../model/page.ts'
import { projectScope } from '../../model/scope.ts'
import { authorizeTask } from '../access.ts'
import { headsOf, readList, type ListDeps, type ListedAt } from '../list.ts'
import { taskSubject } from '../subject.ts'
import { changeTaskCounter, lockTaskFor } from '../tasks/task-counters.ts'
import { write, type WriteDeps, type WriteRequest, type WriteResult } from '../write.ts'
import { attachmentRemoved } from './attachment-entries.ts'

/** Oldest first, for all who may read the task. */
export const listAttachments = (
  deps: ListDeps,
  actor: Actor,
  taskId: string,
  slice: Slice,
): Promise<ListedAt<Attachment>> => {
  let seen: TaskAccessRow
  let now: TaskAccessRow
  return readList(deps, actor.userId, slice, {
    // Attachments change with `attachment.*` in the scope of the task's project, which changes with `task.deleted` there.
    heads: async (sql) => {
      seen = await authorizeTask(sql, actor, taskId, 'read')
      return headsOf(deps, actor, [projectScope(seen.projectId)])
    },
    select: async (sql) => {
      now = await authorizeTask(sql, actor, taskId, 'read')
      return selectAttachments(sql, taskId, slice)
    },
    isExact: () => now.projectId === seen.projectId,
    count: (sql) => countAttachments(sql, taskId),
    item: (attachment) => attachment,
    key: ({ createdAt, id }) => [createdAt, id],
  })
}

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
