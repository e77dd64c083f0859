// /api/tasks/:id/shares: the single people a task is shared with.
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import type { Deps } from '../../deps.ts'
import { addShare, changeShare, listShares, removeShare } from '../../domain/shares.ts'
import { Id } from '../../model/scalar.ts'
import { NewShare, Share, SharePatch } from '../../model/task.ts'
import { signedIn } from '../guard.ts'
import { openPager, pageMembers, pageParameters } from '../page.ts'
import { bodyTag, created, mutate, noContent, ok, respond } from '../reply.ts'

const params = Type.Object({ id: Id() })
const shareParams = Type.Object({ id: Id(), userId: Id() })

const Shares = Type.Object({ items: Type.Array(Share), ...pageMembers })
const listQuery = Type.Object(pageParameters, { additionalProperties: false })

const detail = (summary: string) => ({ tags: ['Tasks'], summary, security: [{ bearer: [] }] })

type ShareDeps = Pick<Deps, 'config' | 'db' | 'publisher'>

export const shareRoutes = (deps: ShareDeps) => {
  const pager = openPager(deps.config)
  return new Elysia({ prefix: '/api/tasks/:id/shares' })
    .use(signedIn)
    .get(
      '',
      async ({ actor, request, params, query }) => {
        const slice = pager.slice(request, query)
        const found = await listShares(deps, actor, params.id, slice)
        return respond(pager.reply(request, query, slice, found), request)
      },
      {
        params,
        query: listQuery,
        response: { 200: Shares },
        detail: detail('List the people a task is shared with'),
      },
    )
    .post(
      '',
      ({ actor, request, params, body }) =>
        mutate(
          { request, actor },
          (share: Share) => bodyTag(created(share, `/api/tasks/${params.id}/shares/${share.userId}`)),
          (write) => addShare(deps, write, params.id, body),
        ),
      {
        params,
        body: NewShare,
        response: { 201: Share },
        detail: detail('Share a task with one person, at most 20 (editors)'),
      },
    )
    .patch(
      '/:userId',
      ({ actor, request, params, body }) =>
        mutate(
          { request, actor },
          (share: Share) => bodyTag(ok(share)),
          (write) => changeShare(deps, write, params.id, params.userId, body.permission),
        ),
      {
        params: shareParams,
        body: SharePatch,
        response: { 200: Share },
        detail: detail('Change what a share permits (editors)'),
      },
    )
    .delete(
      '/:userId',
      ({ actor, request, params }) =>
        mutate(
          { request, actor },
          () => noContent(),
          (write) => removeShare(deps, write, params.id, params.userId),
        ),
      { params: shareParams, response: { 204: Type.Void() }, detail: detail('End a share (editors)') },
    )
}
