// /api/tasks/:id/comments and /api/comments/:id: comments of tasks.
import { Type } from '@sinclair/typebox'
import type { Publisher } from '../../changelog/publisher.ts'
import type { Config } from '../../config.ts'
import type { CallerDatabase } from '../../db/client.ts'
import type { Reads } from '../../db/reads.ts'
import { addComment, changeComment, listComments, removeComment } from '../../domain/comments/comments.ts'
import type { TaskWrites } from '../../domain/write-coalescer.ts'
import { Comment, CommentPatch, NewComment } from '../../model/comment.ts'
import { Id } from '../../model/scalar.ts'
import type { KeptAnswers } from '../kept-answers.ts'
import { openPager, pageOf, pageQuery } from '../page.ts'
import { ifMatchOf } from '../request-context.ts'
import { created, etag, mutate, noContent, ok } from '../response.ts'
import { RouteGroup } from '../route-group.ts'
import { describedIn } from '../route.ts'

const params = Type.Object({ id: Id() })

const detail = describedIn('Comments')

interface CommentDeps {
  config: Config
  db: CallerDatabase
  reads: Pick<Reads, 'heads'>
  kept: KeptAnswers
  publisher: Publisher
  writes: TaskWrites
}

export const commentRoutes = (deps: CommentDeps) => {
  const pager = openPager(deps)
  return new RouteGroup('/api')
    .get(
      '/tasks/:id/comments',
      (context) =>
        pager.answer(context, (slice) => listComments(deps, context.actor, context.params.id, slice)),
      {
        params,
        query: pageQuery,
        response: { 200: pageOf(Comment) },
        detail: detail('List the comments of a task, oldest first'),
      },
    )
    .post(
      '/tasks/:id/comments',
      (context) =>
        mutate(
          context,
          (comment: Comment) => created(comment, `/api/comments/${comment.id}`, etag(comment.version)),
          (write) => addComment(deps, write, context.params.id, context.body),
        ),
      {
        params,
        body: NewComment,
        response: { 201: Comment },
        detail: detail('Comment on a task (everyone who may read it)', { idempotent: true }),
      },
    )
    .patch(
      '/comments/:id',
      (context) =>
        mutate(
          context,
          (comment: Comment) => ok(comment, etag(comment.version)),
          (write) => changeComment(deps, write, context.params.id, context.body, ifMatchOf(context.request)),
        ),
      {
        params,
        body: CommentPatch,
        response: { 200: Comment },
        detail: detail('Change a comment (its author); null removes all mentions', {
          idempotent: true,
          versioned: true,
        }),
      },
    )
    .delete(
      '/comments/:id',
      (context) =>
        mutate(context, noContent, (write) =>
          removeComment(deps, write, context.params.id, ifMatchOf(context.request)),
        ),
      {
        params,
        response: { 204: Type.Void() },
        detail: detail('Delete a comment (its author and editors)', { idempotent: true, versioned: true }),
      },
    )
}
