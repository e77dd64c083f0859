// /api/users: the account of the caller, and public data of other users.
import { Type } from '@sinclair/typebox'
import type { Passwords } from '../../auth/passwords.ts'
import type { Publisher } from '../../changelog/publisher.ts'
import type { Config } from '../../config.ts'
import type { CallerDatabase } from '../../db/client.ts'
import type { Reads } from '../../db/reads.ts'
import { deleteAccount } from '../../domain/users/account-deletion.ts'
import { getAccount } from '../../domain/users/administration.ts'
import { changePassword, getMe, getUser, searchUsers, updateMe } from '../../domain/users/users.ts'
import { passwordCheck } from '../rate-limit.ts'
import { fingerprintKeyOf } from '../body/fingerprint.ts'
import type { KeptAnswers } from '../kept-answers.ts'
import { openPager, pageOf, pageParameters } from '../page.ts'
import type { RequestContext } from '../request-context.ts'
import { bodyTag, mutate, noContent, ok } from '../response.ts'
import { RouteGroup } from '../route-group.ts'
import { describedIn } from '../route.ts'
import type { Attempts } from '../../limits/attempts.ts'
import { AccountDeletion, PasswordChange, UserPatch } from '../../model/credentials.ts'
import { Id } from '../../model/scalar.ts'
import { Text } from '../../model/text.ts'
import { Account, PublicUser, User } from '../../model/user.ts'

const detail = describedIn('Users')

const render = (user: User) => bodyTag(ok(user))

const search = Type.Object(
  {
    q: Text({
      minLength: 1,
      maxLength: 254,
      description: 'The beginning of a name, or a complete e-mail address',
    }),
    ...pageParameters,
  },
  { additionalProperties: false },
)

export interface UserRouteDeps {
  config: Config
  db: CallerDatabase
  reads: Pick<Reads, 'user'>
  kept: KeptAnswers
  publisher: Publisher
  passwords: Passwords
  attempts: Attempts
}

export const userRoutes = (deps: UserRouteDeps) => {
  const fingerprintKey = fingerprintKeyOf(deps.config)
  const pager = openPager(deps)
  /** The same with every password check under the limits of this request's address and account. */
  const checked = (context: RequestContext) => ({ ...deps, checkPassword: passwordCheck(deps, context) })
  return new RouteGroup('/api/users')
    .get('/me', async ({ actor }) => render(await getMe(deps, actor)), {
      response: { 200: User },
      detail: detail('Read your account'),
    })
    .patch(
      '/me',
      (context) =>
        mutate(context, render, (write) => updateMe(checked(context), write, context.body), fingerprintKey),
      {
        body: UserPatch,
        response: { 200: User },
        detail: detail('Change name, time zone or e-mail address', { idempotent: true }),
      },
    )
    .delete(
      '/me',
      (context) =>
        // A key is checked and not claimed: the stored answer would go with the account.
        mutate(
          context,
          noContent,
          ({ actor }) => deleteAccount(checked(context), actor, context.body.password),
          fingerprintKey,
        ),
      {
        body: AccountDeletion,
        response: { 204: Type.Void() },
        detail: detail('Delete your account and everything that only you own', {
          access: 'session',
          idempotent: true,
        }),
      },
    )
    .put(
      '/me/password',
      (context) =>
        mutate(
          context,
          render,
          (write) => changePassword(checked(context), write, context.body),
          fingerprintKey,
        ),
      {
        body: PasswordChange,
        response: { 200: User },
        detail: detail('Change your password; your other sessions and your personal access tokens end', {
          access: 'session',
          idempotent: true,
        }),
      },
    )
    .get(
      '/search',
      (context) => pager.answer(context, (slice) => searchUsers(deps, context.actor, context.query.q, slice)),
      {
        query: search,
        response: { 200: pageOf(PublicUser) },
        detail: detail('Find users by the beginning of their name or by e-mail address'),
      },
    )
    .get(
      '/:id',
      async ({ actor, params: { id } }) => {
        // The account is administration, which no personal access token reaches.
        const isAdministration = actor.role === 'admin' && actor.credential.kind !== 'token'
        const user = isAdministration ? await getAccount(deps, actor, id) : await getUser(deps, actor, id)
        return bodyTag(ok(user))
      },
      {
        params: Type.Object({ id: Id() }),
        response: { 200: Type.Union([Account, PublicUser]) },
        detail: detail('Read the public data of a user; as an admin, the account'),
      },
    )
}
