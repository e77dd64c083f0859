// /api/users for admins: all accounts, their roles, and who may sign in.
import { Type } from '@sinclair/typebox'
import type { Passwords } from '../../auth/passwords.ts'
import type { Publisher } from '../../changelog/publisher.ts'
import type { Config } from '../../config.ts'
import type { CallerDatabase } from '../../db/client.ts'
import {
  changeAccount,
  createAccount,
  deleteOtherAccount,
  listAccounts,
} from '../../domain/users/administration.ts'
import { AccountPatch, NewAccount } from '../../model/credentials.ts'
import { Id } from '../../model/scalar.ts'
import { Account } from '../../model/user.ts'
import { fingerprintKeyOf } from '../body/fingerprint.ts'
import type { KeptAnswers } from '../kept-answers.ts'
import { openPager, pageOf, pageQuery } from '../page.ts'
import { bodyTag, created, mutate, noContent, ok } from '../response.ts'
import { RouteGroup } from '../route-group.ts'
import { describedIn } from '../route.ts'

const described = describedIn('Users')

const detail = (summary: string, traits: { idempotent?: boolean } = {}) =>
  described(summary, { ...traits, access: 'session' })

const params = Type.Object({ id: Id() })

const render = (account: Account) => bodyTag(ok(account))

interface AccountRouteDeps {
  config: Config
  db: CallerDatabase
  kept: KeptAnswers
  publisher: Publisher
  passwords: Passwords
}

export const accountRoutes = (deps: AccountRouteDeps) => {
  const pager = openPager(deps)
  const fingerprintKey = fingerprintKeyOf(deps.config)
  return new RouteGroup('/api/users')
    .get('', (context) => pager.answer(context, (slice) => listAccounts(deps, context.actor, slice)), {
      query: pageQuery,
      response: { 200: pageOf(Account) },
      detail: detail('List all accounts, the oldest first (admins)'),
    })
    .post(
      '',
      (context) =>
        mutate(
          context,
          (account: Account) => bodyTag(created(account, `/api/users/${account.id}`)),
          (write) => createAccount(deps, write, context.body),
          fingerprintKey,
        ),
      {
        body: NewAccount,
        response: { 201: Account },
        detail: detail('Create an account, also without a password (admins)', { idempotent: true }),
      },
    )
    .patch(
      '/:id',
      (context) =>
        mutate(context, render, (write) => changeAccount(deps, write, context.params.id, context.body)),
      {
        params,
        body: AccountPatch,
        response: { 200: Account },
        detail: detail('Change the role of an account, or disable it (admins)', { idempotent: true }),
      },
    )
    .delete(
      '/:id',
      (context) => mutate(context, noContent, (write) => deleteOtherAccount(deps, write, context.params.id)),
      {
        params,
        response: { 204: Type.Void() },
        detail: detail('Delete an account and everything that only it owns (admins)', { idempotent: true }),
      },
    )
}
