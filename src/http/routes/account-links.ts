// /api/auth: what is done by links in mails: a new password, the verification of an address.
import { Type } from '@sinclair/typebox'
import type { Authenticator } from '../../auth/authenticator.ts'
import type { Passwords } from '../../auth/passwords.ts'
import type { Publisher } from '../../changelog/publisher.ts'
import type { Config } from '../../config.ts'
import type { CallerDatabase } from '../../db/client.ts'
import { requireSession } from '../../domain/actor.ts'
import { confirmVerification, requestVerification } from '../../domain/users/email-verification.ts'
import { requestPasswordReset, resetPassword } from '../../domain/users/password-reset.ts'
import { addressCaller, addressKey } from '../../limits/address-key.ts'
import { policiesOf } from '../../limits/policies.ts'
import type { RateLimiter } from '../../limits/window.ts'
import { EmailVerification, PasswordReset, PasswordResetRequest } from '../../model/credentials.ts'
import { canonicalEmail } from '../../model/text-form.ts'
import { authenticate } from '../guard.ts'
import { emailKey, takeRateLimit } from '../rate-limit.ts'
import type { Answer } from '../response.ts'
import { RouteGroup } from '../route-group.ts'
import { describedIn } from '../route.ts'

const detail = describedIn('Auth')

const ofLinks = ['link_invalid', 'link_other_account', 'link_used', 'link_expired', 'user_disabled'] as const

const answered = (status: 202 | 204): Answer => ({
  status,
  headers: { 'Cache-Control': 'no-store' },
  body: null,
})

interface AccountLinkDeps {
  config: Config
  db: CallerDatabase
  publisher: Publisher
  authenticator: Authenticator
  passwords: Passwords
  limiter: RateLimiter
}

export const accountLinkRoutes = (deps: AccountLinkDeps) => {
  const { passwordResets, verifications } = policiesOf(deps.config)
  return new RouteGroup('/api/auth')
    .post(
      '/password-reset/request',
      async (context) => {
        const { email } = context.body
        await takeRateLimit(deps, context, passwordResets, addressKey(context.ip))
        // Whether or not it has an account; at most this many mails are sent to an address.
        await takeRateLimit(deps, context, passwordResets, emailKey(canonicalEmail(email)))
        await requestPasswordReset(deps, email, addressCaller(context.ip))
        return answered(202)
      },
      {
        body: PasswordResetRequest,
        response: { 202: Type.Void() },
        detail: detail('Send a link for a new password, if the address has an account', {
          access: 'public',
        }),
      },
    )
    .post(
      '/password-reset/confirm',
      async (context) => {
        await resetPassword(deps, context.body, addressCaller(context.ip))
        return answered(204)
      },
      {
        body: PasswordReset,
        response: { 204: Type.Void() },
        detail: detail('Set a new password by a link; all sessions and tokens of the account end', {
          access: 'public',
          errors: ofLinks,
        }),
      },
    )
    .post(
      '/email/verify/request',
      async (context) => {
        await takeRateLimit(deps, context, verifications, context.actor.userId)
        await requestVerification(deps, context.actor)
        return answered(202)
      },
      {
        response: { 202: Type.Void() },
        detail: detail('Send a link that verifies your e-mail address, unless it is verified', {
          access: 'session',
        }),
      },
    )
    .post(
      '/email/verify/confirm',
      async (context) => {
        const isSignedIn = context.request.headers.has('authorization')
        if (isSignedIn) {
          context.identity = await authenticate(context, deps.authenticator, deps.config)
          requireSession(context.actor)
        }
        const actor = context.identity?.actor ?? null
        await confirmVerification(deps, context.body.token, actor, addressCaller(context.ip))
        return answered(204)
      },
      {
        body: EmailVerification,
        response: { 204: Type.Void() },
        detail: detail('Verify an e-mail address by a link; with an access token, only your own', {
          access: 'public',
          errors: [...ofLinks, 'unauthenticated'],
        }),
      },
    )
}
