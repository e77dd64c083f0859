// Writing a comment as a plan: it changes its task (the counter and the version), so that it is decided with the writes
// to tasks, in their batches and under their locks. Concurrent comments on one task share a transaction, too.
import type { Comment, NewComment } from '../../model/comment.ts'
import { invalid } from '../../errors.ts'
import type { Actor } from '../../model/actor.ts'
import { newId } from '../../model/scalar.ts'
import { projectScope } from '../../model/scope.ts'
import { composedText } from '../../model/text-form.ts'
import { commentSubject } from '../subject.ts'
import { countInState } from '../tasks/task-counters.ts'
import { authorizeChange } from '../tasks/task-decisions.ts'
import { noNeeds } from '../tasks/task-needs.ts'
import type { TaskPlan } from '../tasks/task-plan.ts'
import type { TaskState } from '../tasks/task-state.ts'
import type { Effect } from '../write.ts'
import { commentCreated } from './comment-entries.ts'

/** What the rows and entries of a comment and its task take beside the text. */
const rowBytes = 2_000

export const commentPlan = (actor: Actor, taskId: string, input: NewComment): TaskPlan<Comment> => {
  const users = mentionsOf([actor.userId, ...(input.mentions ?? [])])
  return {
    needs: {
      ...noNeeds(),
      tasks: [taskId],
      taskUsers: users.map((userId) => ({ taskId, userId })),
      authors: [actor.userId],
    },
    decide: (state) => decideComment(state, actor, taskId, input),
    bytes: rowBytes + input.body.length,
    extent: 'one',
  }
}

/** Each user once, in the order of the first mentions. */
export const mentionsOf = (ids: readonly string[]): string[] => [...new Set(ids)]

/** 422 for the first user who cannot read the task, the same where there is no such user. */
export const requireMentionable = (given: readonly string[], isReader: (userId: string) => boolean): void => {
  const index = given.findIndex((userId) => !isReader(userId))
  if (index >= 0)
    throw invalid({ pointer: `/mentions/${index}`, detail: 'must be a user who can read the task' })
}

const decideComment = (
  state: TaskState,
  actor: Actor,
  taskId: string,
  { body, mentions = [] }: NewComment,
): Effect<Comment> => {
  const access = authorizeChange(actor, state.access(actor.userId, taskId), 'comment')
  const { projectId } = access.task
  requireMentionable(mentions, (userId) => state.isReader(userId, projectId, taskId))
  const comment: Comment = {
    id: newId(),
    taskId,
    author: state.author(actor.userId),
    body: composedText(body),
    mentions: mentionsOf(mentions),
    version: 1,
    createdAt: state.at,
    updatedAt: state.at,
  }
  state.addComment({ comment, contentVersion: 1 })
  const audience = { projectId, sharees: access.sharees }
  return {
    value: comment,
    entries: [
      ...commentCreated(audience, comment, actor.userId),
      ...countInState(state, access, 'commentCount', 1, actor.userId),
    ],
    cursorScope: projectScope(projectId),
    subject: commentSubject(comment, access.task),
  }
}
