// /api/projects/:id/members: who belongs to a project.
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import type { Deps } from '../../deps.ts'
import { addMember, changeMember, listMembers, removeMember } from '../../domain/members.ts'
import { Member, MemberPatch, NewMember } from '../../model/project.ts'
import { Id } from '../../model/scalar.ts'
import { signedIn } from '../guard.ts'
import { openPager, pageMembers, pageParameters } from '../page.ts'
import { bodyTag, created, mutate, noContent, ok, respond } from '../reply.ts'

const params = Type.Object({ id: Id() })
const memberParams = Type.Object({ id: Id(), userId: Id() })

const Members = Type.Object({ items: Type.Array(Member), ...pageMembers })
const listQuery = Type.Object(pageParameters, { additionalProperties: false })

const detail = (summary: string) => ({ tags: ['Projects'], summary, security: [{ bearer: [] }] })

type MemberDeps = Pick<Deps, 'config' | 'db' | 'publisher'>

export const memberRoutes = (deps: MemberDeps) => {
  const pager = openPager(deps.config)
  return new Elysia({ prefix: '/api/projects/:id/members' })
    .use(signedIn)
    .get(
      '',
      async ({ actor, request, params, query }) => {
        const slice = pager.slice(request, query)
        const found = await listMembers(deps, actor, params.id, slice)
        return respond(pager.reply(request, query, slice, found), request)
      },
      {
        params,
        query: listQuery,
        response: { 200: Members },
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
        detail: detail('Add a person by e-mail or id, at once (owners)'),
      },
    )
    .patch(
      '/:userId',
      ({ actor, request, params, body }) =>
        mutate(
          { request, actor },
          (member: Member) => bodyTag(ok(member)),
          (write) => changeMember(deps, write, params.id, params.userId, body.role),
        ),
      {
        params: memberParams,
        body: MemberPatch,
        response: { 200: Member },
        detail: detail("Change a member's role (owners)"),
      },
    )
    .delete(
      '/:userId',
      ({ actor, request, params }) =>
        mutate(
          { request, actor },
          () => noContent(),
          (write) => removeMember(deps, write, params.id, params.userId),
        ),
      {
        params: memberParams,
        response: { 204: Type.Void() },
        detail: detail('Remove a member (owners), or leave (everybody)'),
      },
    )
}
