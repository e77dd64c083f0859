// /api/invitations: who may register where registration is by invitation (admins).
import { Type } from '@sinclair/typebox'
import type { Publisher } from '../../changelog/publisher.ts'
import type { Config } from '../../config.ts'
import type { CallerDatabase } from '../../db/client.ts'
import { invite, listInvitations, withdrawInvitation } from '../../domain/users/invitations.ts'
import { Invitation, NewInvitation } from '../../model/invitation.ts'
import { Id } from '../../model/scalar.ts'
import type { KeptAnswers } from '../kept-answers.ts'
import { openPager, pageOf, pageQuery } from '../page.ts'
import { bodyTag, created, mutate, noContent } from '../response.ts'
import { RouteGroup } from '../route-group.ts'
import { describedIn, type RouteTraits } from '../route.ts'

const described = describedIn('Users')

const detail = (summary: string, traits: Partial<RouteTraits> = {}) =>
  described(summary, { ...traits, access: 'session' })

interface InvitationDeps {
  config: Config
  db: CallerDatabase
  kept: KeptAnswers
  publisher: Publisher
}

export const invitationRoutes = (deps: InvitationDeps) => {
  const pager = openPager(deps)
  return new RouteGroup('/api/invitations')
    .get('', (context) => pager.answer(context, (slice) => listInvitations(deps, context.actor, slice)), {
      query: pageQuery,
      response: { 200: pageOf(Invitation) },
      detail: detail('List invitations, the newest first (admins)'),
    })
    .post(
      '',
      (context) =>
        mutate(
          context,
          (invitation: Invitation) => bodyTag(created(invitation, `/api/invitations/${invitation.id}`)),
          (write) => invite(deps, write, context.body),
        ),
      {
        body: NewInvitation,
        response: { 201: Invitation },
        detail: detail('Invite a person to register, by mail (admins)', {
          idempotent: true,
          isLogged: false,
          errors: ['registration_closed'],
        }),
      },
    )
    .delete(
      '/:id',
      (context) => mutate(context, noContent, (write) => withdrawInvitation(deps, write, context.params.id)),
      {
        params: Type.Object({ id: Id() }),
        response: { 204: Type.Void() },
        detail: detail('Withdraw an invitation (admins)', { idempotent: true, isLogged: false }),
      },
    )
}
