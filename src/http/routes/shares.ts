// /api/tasks/:id/shares: the users a single task is shared with.
import { Type } from '@sinclair/typebox'
import type { Publisher } from '../../changelog/publisher.ts'
import type { Config } from '../../config.ts'
import type { CallerDatabase } from '../../db/client.ts'
import type { Reads } from '../../db/reads.ts'
import { addShare, changeShare, listShares, removeShare } from '../../domain/shares/shares.ts'
import type { KeptAnswers } from '../kept-answers.ts'
import { openPager, pageOf, pageQuery } from '../page.ts'
import { bodyTag, created, mutate, noContent, ok } from '../response.ts'
import { RouteGroup } from '../route-group.ts'
import { describedIn } from '../route.ts'
import { Id } from '../../model/scalar.ts'
import { NewShare, Share, SharePatch } from '../../model/task.ts'

const params = Type.Object({ id: Id() })
const shareParams = Type.Object({ id: Id(), userId: Id() })

const detail = describedIn('Tasks')

const render = (share: Share) => bodyTag(ok(share))

interface ShareDeps {
  config: Config
  db: CallerDatabase
  reads: Pick<Reads, 'heads'>
  kept: KeptAnswers
  publisher: Publisher
}

export const shareRoutes = (deps: ShareDeps) => {
  const pager = openPager(deps)
  return new RouteGroup('/api/tasks/:id/shares')
    .get(
      '',
      (context) =>
        pager.answer(context, (slice) => listShares(deps, context.actor, context.params.id, slice)),
      {
        params,
        query: pageQuery,
        response: { 200: pageOf(Share) },
        detail: detail('List the users a task is shared with'),
      },
    )
    .post(
      '',
      (context) =>
        mutate(
          context,
          (share: Share) => bodyTag(created(share, `/api/tasks/${context.params.id}/shares/${share.userId}`)),
          (write) => addShare(deps, write, context.params.id, context.body),
        ),
      {
        params,
        body: NewShare,
        response: { 201: Share },
        detail: detail('Share a task with a user, at most 20 (editors)', { idempotent: true }),
      },
    )
    .patch(
      '/:userId',
      (context) =>
        mutate(context, render, (write) =>
          changeShare(deps, write, context.params.id, context.params.userId, context.body.permission),
        ),
      {
        params: shareParams,
        body: SharePatch,
        response: { 200: Share },
        detail: detail('Change the permission of a share (editors)', { idempotent: true }),
      },
    )
    .delete(
      '/:userId',
      (context) =>
        mutate(context, noContent, (write) =>
          removeShare(deps, write, context.params.id, context.params.userId),
        ),
      {
        params: shareParams,
        response: { 204: Type.Void() },
        detail: detail('End a share (editors)', { idempotent: true }),
      },
    )
}
