// Comments of tasks: users who may read a task comment on it, the author changes a comment, the author and editors delete
// it. Each change is an entry of the task's project and of every user the task is shared with.
import type { Tx } from '../../db/client.ts'
import {
  countComments,
  deleteComment,
  selectComment,
  selectComments,
  selectTaskIdOfComment,
  updateComment,
  type StoredComment,
} from '../../db/comments/comments.ts'
import { selectReaders, type LockedTaskRow } from '../../db/tasks/tasks.ts'
import { AppError, notFound } from '../../errors.ts'
import type { Actor } from '../../model/actor.ts'
import type { Comment, CommentPatch, NewComment } from '../../model/comment.ts'
import type { Changes } from '../../model/event.ts'
import type { Slice } from '../../model/page.ts'
import { projectScope, userScope } from '../../model/scope.ts'
import { composedText } from '../../model/text-form.ts'
import { authorize } from '../actor.ts'
import { withoutUserHead, type ListDeps, type ListedAt } from '../list.ts'
import { commentSubject } from '../subject.ts'
import { readListOfTask } from '../tasks/list-of-task.ts'
import { changeTaskCounter, lockTaskFor } from '../tasks/task-counters.ts'
import { requireSeen, type SeenVersions } from '../version.ts'
import type { TaskWrites } from '../write-coalescer.ts'
import { write, type WriteDeps, type WriteRequest, type WriteResult } from '../write.ts'
import { commentDeleted, commentUpdated } from './comment-entries.ts'
import { commentPlan, mentionsOf, requireMentionable } from './comment-plan.ts'

/** Oldest first, for all who may read the task. */
export const listComments = (
  deps: ListDeps,
  actor: Actor,
  taskId: string,
  slice: Slice,
): Promise<ListedAt<Comment>> =>
  readListOfTask(deps, actor, taskId, slice, {
    select: (sql) => selectComments(sql, taskId, slice),
    // Name and avatar change with `user.updated` in the scope of each author.
    rowHead: ({ author, userHead }) => author && [userScope(author.id), userHead],
    count: (sql) => countComments(sql, taskId),
    item: withoutUserHead,
    key: (row) => [row.createdAt, row.id],
  })

/** 404, 403, 409 `project_archived`, 422 for a mention of a user who cannot read the task, in this order. */
export const addComment = (
  { writes }: { writes: TaskWrites },
  request: WriteRequest<Comment>,
  taskId: string,
  input: NewComment,
): Promise<WriteResult<Comment>> => writes.write(request, commentPlan(request.actor, taskId, input))

/** A merge patch by the author. 404, 403, 409 `project_archived`, 412, and 422 for a new mention. */
export const changeComment = (
  deps: WriteDeps,
  request: WriteRequest<Comment>,
  id: string,
  patch: CommentPatch,
  ifMatch: SeenVersions,
): Promise<WriteResult<Comment>> =>
  write(deps, request, async (tx) => {
    const { actor } = request
    const { row, stored } = await lockAndReadComment(tx, actor, id)
    const { comment, contentVersion } = stored
    if (comment.author?.id !== actor.userId) throw new AppError('forbidden')
    requireSeen(ifMatch, { version: comment.version, contentVersion })
    const { projectId } = row.task
    const done = { cursorScope: projectScope(projectId), subject: commentSubject(comment, row.task) }
    const fields = patched(comment, patch)
    const changes = changesBetween(comment, fields)
    if ('mentions' in changes) await requireNewMentions(tx, row, comment, patch.mentions ?? [])
    if (Object.keys(changes).length === 0) return { value: comment, entries: [], ...done }
    const version = comment.version + 1
    const value = { ...comment, ...fields, version, updatedAt: row.readAt }
    await updateComment(tx, { comment: value, contentVersion: version })
    const audience = { projectId, sharees: row.sharees }
    return { value, entries: commentUpdated(audience, value, changes, actor.userId), ...done }
  })

/** By the author or an editor of the project. 404, 403, 409 `project_archived`, 412. */
export const removeComment = (
  deps: WriteDeps,
  request: WriteRequest<null>,
  id: string,
  ifMatch: SeenVersions,
): Promise<WriteResult<null>> =>
  write(deps, request, async (tx) => {
    const { actor } = request
    const { row, stored } = await lockAndReadComment(tx, actor, id)
    const { comment, contentVersion } = stored
    if (comment.author?.id !== actor.userId) authorize(actor, row, 'delete')
    requireSeen(ifMatch, { version: comment.version, contentVersion })
    await deleteComment(tx, id)
    const { projectId } = row.task
    return {
      value: null,
      entries: [
        ...commentDeleted({ projectId, sharees: row.sharees }, comment, actor.userId),
        ...(await changeTaskCounter(tx, row, 'commentCount', -1, actor.userId)),
      ],
      cursorScope: projectScope(projectId),
      subject: commentSubject(comment, row.task),
    }
  })

/** Locks the comment's task, which locks its comments as well, then reads both. 404 for a comment of an unreadable task. */
const lockAndReadComment = async (
  tx: Tx,
  actor: Actor,
  id: string,
): Promise<{ row: LockedTaskRow; stored: StoredComment }> => {
  const taskId = await selectTaskIdOfComment(tx, id)
  if (taskId === null) throw notFound()
  const row = await lockTaskFor(tx, actor, taskId, 'comment')
  const stored = await selectComment(tx, id)
  if (!stored) throw notFound()
  return { row, stored }
}

type Content = Pick<Comment, 'body' | 'mentions'>

const patched = (comment: Comment, { body, mentions }: CommentPatch): Content => ({
  body: body === undefined ? comment.body : composedText(body),
  mentions: mentions === undefined ? comment.mentions : mentionsOf(mentions ?? []),
})

const changesBetween = (before: Content, after: Content): Changes => ({
  ...(before.body !== after.body && { body: { from: before.body, to: after.body } }),
  ...(before.mentions.join() !== after.mentions.join() && {
    mentions: { from: before.mentions, to: after.mentions },
  }),
})

/** Those who were mentioned before may stay so, also when they cannot read the task any more. */
const requireNewMentions = async (
  tx: Tx,
  { task: { id, projectId } }: LockedTaskRow,
  before: Comment,
  given: string[],
): Promise<void> => {
  const known = new Set([...before.mentions, ...(await selectReaders(tx, { projectId, taskId: id }, given))])
  requireMentionable(given, (userId) => known.has(userId))
}
