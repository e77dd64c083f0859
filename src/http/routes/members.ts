// /api/projects/:id/members: the members of a project and their roles.
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import type { Publisher } from '../../changelog/publisher.ts'
import type { Config } from '../../config.ts'
import type { CallerDatabase } from '../../db/client.ts'
import { addMember, changeMember, listMembers, removeMember } from '../../domain/projects/members.ts'
import { signedIn } from '../guard.ts'
import { openPager, pageOf, pageQuery } from '../page.ts'
import { bodyTag, created, mutate, noContent, ok } from '../response.ts'
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
  publisher: Publisher
}

export const memberRoutes = (deps: MemberDeps) => {
  const pager = openPager(deps.config)
  return new Elysia({ prefix: '/api/projects/:id/members' })
    .use(signedIn)
    .get(
      '',
      ({ actor, request, params, query }) =>
        pager.answer(request, query, (slice) => listMembers(deps, actor, params.id, slice)),
      {
        params,
        query: pageQuery,
        response: { 200: pageOf(Member) },
        detail: detail("List a project's members in the order they joined"),
      },
    )
    .post(
      '',
      ({ actor, request, params, body }) =>
        mutate(
          { request, actor },
          (member: Member) => bodyTag(created(member, `/api/projects/${params.id}/members/${member.userId}`)),
          (write) => addMember(deps, write, params.id, body),
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
      ({ actor, request, params, body }) =>
        mutate({ request, actor }, render, (write) =>
          changeMember(deps, write, params.id, params.userId, body.role),
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
      ({ actor, request, params }) =>
        mutate({ request, actor }, noContent, (write) => removeMember(deps, write, params.id, params.userId)),
      {
        params: memberParams,
        response: { 204: Type.Void() },
        detail: detail('Remove a member (owners), or leave the project (every member)', { idempotent: true }),
      },
    )
}
