// /api/projects/:id/members: the members of a project and their roles.
import { Type } from '@sinclair/typebox'
import type { Publisher } from '../../changelog/publisher.ts'
import type { Config } from '../../config.ts'
import type { CallerDatabase } from '../../db/client.ts'
import type { Reads } from '../../db/reads.ts'
import { addMember, changeMember, listMembers, removeMember } from '../../domain/projects/members.ts'
import type { KeptAnswers } from '../kept-answers.ts'
import { openPager, pageOf, pageQuery } from '../page.ts'
import { bodyTag, created, mutate, noContent, ok } from '../response.ts'
import { RouteGroup } from '../route-group.ts'
import { describedIn } from '../route.ts'
import { Member, MemberPatch, NewMember } from '../../model/project.ts'
import { Id } from '../../model/scalar.ts'

const params = Type.Object({ id: Id() })
const memberParams = Type.Object({ id: Id(), userId: Id() })

const detail = describedIn('Projects')

const render = (member: Member) => bodyTag(ok(member))

interface MemberDeps {
  config: Config
  db: CallerDatabase
  reads: Pick<Reads, 'heads'>
  kept: KeptAnswers
  publisher: Publisher
}

export const memberRoutes = (deps: MemberDeps) => {
  const pager = openPager(deps)
  return new RouteGroup('/api/projects/:id/members')
    .get(
      '',
      (context) =>
        pager.answer(context, (slice) => listMembers(deps, context.actor, context.params.id, slice)),
      {
        params,
        query: pageQuery,
        response: { 200: pageOf(Member) },
        detail: detail("List a project's members in the order they joined"),
      },
    )
    .post(
      '',
      (context) =>
        mutate(
          context,
          (member: Member) =>
            bodyTag(created(member, `/api/projects/${context.params.id}/members/${member.userId}`)),
          (write) => addMember(deps, write, context.params.id, context.body),
        ),
      {
        params,
        body: NewMember,
        response: { 201: Member },
        detail: detail('Add a user by e-mail address or id (owners)', { idempotent: true }),
      },
    )
    .patch(
      '/:userId',
      (context) =>
        mutate(context, render, (write) =>
          changeMember(deps, write, context.params.id, context.params.userId, context.body.role),
        ),
      {
        params: memberParams,
        body: MemberPatch,
        response: { 200: Member },
        detail: detail("Change a member's role (owners)", { idempotent: true }),
      },
    )
    .delete(
      '/:userId',
      (context) =>
        mutate(context, noContent, (write) =>
          removeMember(deps, write, context.params.id, context.params.userId),
        ),
      {
        params: memberParams,
        response: { 204: Type.Void() },
        detail: detail('Remove a member (owners), or leave the project (every member)', { idempotent: true }),
      },
    )
}
