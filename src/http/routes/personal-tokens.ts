// /api/auth/tokens: the caller's personal access tokens. Only a session makes, lists and revokes them, and no response is
// stored under a key: it would hold the token.
import { Type } from '@sinclair/typebox'
import type { Publisher } from '../../changelog/publisher.ts'
import type { Config } from '../../config.ts'
import type { CallerDatabase } from '../../db/client.ts'
import {
  createPersonalToken,
  deletePersonalToken,
  listPersonalTokens,
} from '../../domain/users/personal-tokens.ts'
import { IssuedToken, NewPersonalToken, PersonalToken } from '../../model/personal-token.ts'
import { Id } from '../../model/scalar.ts'
import type { KeptAnswers } from '../kept-answers.ts'
import { openPager, pageOf, pageQuery } from '../page.ts'
import { bodyTag, created, noContent, unstored } from '../response.ts'
import { RouteGroup } from '../route-group.ts'
import { describedIn } from '../route.ts'

const noStore = { 'Cache-Control': 'no-store' }

const detail = (summary: string) => describedIn('Auth')(summary, { access: 'session' })

interface PersonalTokenDeps {
  config: Config
  db: CallerDatabase
  kept: KeptAnswers
  publisher: Publisher
}

export const personalTokenRoutes = (deps: PersonalTokenDeps) => {
  const pager = openPager(deps)
  return new RouteGroup('/api/auth/tokens')
    .get(
      '',
      async (context) =>
        unstored(await pager.answer(context, (slice) => listPersonalTokens(deps, context.actor, slice))),
      {
        query: pageQuery,
        response: { 200: pageOf(PersonalToken) },
        detail: detail('List your personal access tokens, newest first'),
      },
    )
    .post(
      '',
      async ({ actor, body }) => {
        const issued = await createPersonalToken(deps, actor, body)
        return bodyTag(created(issued, `/api/auth/tokens/${issued.id}`, noStore))
      },
      {
        body: NewPersonalToken,
        response: { 201: IssuedToken },
        detail: detail('Create a personal access token, shown only in this answer; at most 100'),
      },
    )
    .delete(
      '/:id',
      async ({ actor, params }) => {
        await deletePersonalToken(deps, actor, params.id)
        return { ...noContent(), headers: noStore }
      },
      {
        params: Type.Object({ id: Id() }),
        response: { 204: Type.Void() },
        detail: detail('Revoke a personal access token; its sockets close'),
      },
    )
}
