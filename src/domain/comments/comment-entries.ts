// Log entries about comments, in the scopes of their task: its project, and each user it is shared with. Invariant:
// creations and deletions name the task in their `changes`, where consumers find it although a deletion has no data.
import { type Changes, type Entry, type EventType } from '../../model/event.ts'
import type { Comment } from '../../model/comment.ts'
import { projectScope, userScope } from '../../model/scope.ts'

/** Where the task of the comments is, and the users it is shared with. */
export interface CommentAudience {
  projectId: string
  sharees: string[]
}

const toScopes = (
  { projectId, sharees }: CommentAudience,
  entry: Omit<Entry, 'scope'> & { type: EventType },
): Entry[] => [projectScope(projectId), ...sharees.map(userScope)].map((scope) => ({ scope, ...entry }))

export const commentCreated = (audience: CommentAudience, comment: Comment, actorId: string): Entry[] =>
  toScopes(audience, {
    type: 'comment.created',
    id: comment.id,
    version: comment.version,
    data: comment,
    actorId,
    changes: {
      taskId: { from: null, to: comment.taskId },
      body: { from: null, to: comment.body },
      ...(comment.mentions.length > 0 && { mentions: { from: [], to: comment.mentions } }),
    },
  })

/** @param changes of the fields that differ. */
export const commentUpdated = (
  audience: CommentAudience,
  after: Comment,
  changes: Changes,
  actorId: string,
): Entry[] =>
  toScopes(audience, {
    type: 'comment.updated',
    id: after.id,
    version: after.version,
    data: after,
    changed: Object.keys(changes),
    actorId,
    changes,
  })

/** The version of a deletion is the comment's last version plus one. */
export const commentDeleted = (audience: CommentAudience, comment: Comment, actorId: string): Entry[] =>
  toScopes(audience, {
    type: 'comment.deleted',
    id: comment.id,
    version: comment.version + 1,
    actorId,
    changes: { taskId: { from: comment.taskId, to: null }, body: { from: comment.body, to: null } },
  })
