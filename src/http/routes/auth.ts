// /api/auth: registration, sign-in and sessions. No answer is cached and no response is stored under a key.
import { Type } from '@sinclair/typebox'
import type { Authenticator } from '../../auth/authenticator.ts'
import type { Passwords } from '../../auth/passwords.ts'
import type { Tokens } from '../../auth/tokens.ts'
import type { Publisher } from '../../changelog/publisher.ts'
import type { Config } from '../../config.ts'
import type { CallerDatabase } from '../../db/client.ts'
import {
  endAllSessions,
  endCurrentSession,
  endSession,
  endSessionOfToken,
  listSessions,
  refreshSession,
} from '../../domain/users/sessions.ts'
import { register, signIn } from '../../domain/users/sign-in.ts'
import { AppError } from '../../errors.ts'
import { takeRateLimit, passwordCheck } from '../rate-limit.ts'
import { refreshCookie, refreshTokenOfCookie } from '../cookies.ts'
import { authenticate } from '../guard.ts'
import type { KeptAnswers } from '../kept-answers.ts'
import type { RequestContext } from '../request-context.ts'
import { openPager, pageOf, pageQuery } from '../page.ts'
import { bodyTag, created, noContent, ok, unstored } from '../response.ts'
import { RouteGroup } from '../route-group.ts'
import { describedIn, type RouteTraits } from '../route.ts'
import { addressCaller, addressKey } from '../../limits/address-key.ts'
import type { Attempts } from '../../limits/attempts.ts'
import { policiesOf } from '../../limits/policies.ts'
import type { RateLimiter } from '../../limits/window.ts'
import type { Log } from '../../log.ts'
import { Refresh, Registration, SignIn } from '../../model/credentials.ts'
import { Id } from '../../model/scalar.ts'
import type { StoredResponse } from '../../model/stored-response.ts'
import { Session, SessionAnswer } from '../../model/user.ts'

const noStore = { 'Cache-Control': 'no-store' }

const described = describedIn('Auth')

const detail = (summary: string) => described(summary, { access: 'session' })

/** Public routes that check another credential than an access token. */
const open = (summary: string, optionalCredentials: RouteTraits['optionalCredentials'] = []) =>
  described(summary, {
    access: 'public',
    optionalCredentials,
    errors: ['invalid_credentials', 'origin_refused'],
  })

const deviceOf = (context: RequestContext) => ({
  userAgent: context.request.headers.get('user-agent') ?? '',
  ip: context.ip,
  caller: addressCaller(context.ip),
})

export interface AuthRouteDeps {
  config: Config
  log: Log
  db: CallerDatabase
  kept: KeptAnswers
  publisher: Publisher
  tokens: Tokens
  authenticator: Authenticator
  passwords: Passwords
  limiter: RateLimiter
  attempts: Attempts
}

export const authRoutes = (deps: AuthRouteDeps) => {
  const { registrations } = policiesOf(deps.config)
  const pager = openPager(deps)

  const keepToken = (request: Request, token: string | null) => ({
    ...noStore,
    'Set-Cookie': refreshCookie(token, request, deps.config),
  })

  const sessionReply = (answer: SessionAnswer, request: Request): StoredResponse =>
    ok(answer, keepToken(request, answer.refreshToken))

  return new RouteGroup('/api/auth')
    .post(
      '/register',
      async (context) => {
        await takeRateLimit(deps, context, registrations, addressKey(context.ip))
        const answer = await register(deps, context.body, deviceOf(context))
        const { headers: ofUser } = bodyTag(ok(answer.user)) // of what is at `Location`
        const headers = { ...keepToken(context.request, answer.refreshToken), ETag: ofUser['ETag']! }
        return created(answer, '/api/users/me', headers)
      },
      {
        body: Registration,
        response: { 201: SessionAnswer },
        detail: described('Create an account and sign in', {
          access: 'public',
          errors: [
            'registration_closed',
            'invitation_required',
            'link_invalid',
            'link_other_account',
            'link_used',
            'link_expired',
          ],
        }),
      },
    )
    .post(
      '/login',
      async (context) => {
        const checkPassword = passwordCheck(deps, context)
        const answer = await signIn({ ...deps, checkPassword }, context.body, deviceOf(context))
        return sessionReply(answer, context.request)
      },
      { body: SignIn, response: { 200: SessionAnswer }, detail: open('Sign in') },
    )
    .post(
      '/refresh',
      async (context) => {
        const token = context.body?.refreshToken ?? refreshTokenOfCookie(context.request, deps.config)
        if (token === null) throw new AppError('unauthenticated')
        return sessionReply(await refreshSession(deps, token, addressCaller(context.ip)), context.request)
      },
      {
        body: Type.Optional(Refresh),
        response: { 200: SessionAnswer },
        detail: open('Exchange a refresh token, from the body or the cookie, for a new session answer', [
          'refreshCookie',
        ]),
      },
    )
    .post(
      '/logout',
      async (context) => {
        await endCurrent(deps, context, context.body?.refreshToken)
        return { ...noContent(), headers: keepToken(context.request, null) }
      },
      {
        body: Type.Optional(Refresh),
        response: { 204: Type.Void() },
        detail: open('End the session of the refresh token, the access token or the cookie', [
          'bearer',
          'refreshCookie',
        ]),
      },
    )
    .post(
      '/logout-all',
      async (context) => {
        await endAllSessions(deps, context.actor)
        return { ...noContent(), headers: keepToken(context.request, null) }
      },
      { response: { 204: Type.Void() }, detail: detail('End all sessions, including this one') },
    )
    .get(
      '/sessions',
      async (context) =>
        unstored(await pager.answer(context, (slice) => listSessions(deps, context.actor, slice))),
      {
        query: pageQuery,
        response: { 200: pageOf(Session) },
        detail: detail('List the active sessions, the last seen first'),
      },
    )
    .delete(
      '/sessions/:id',
      async ({ actor, params }) => {
        await endSession(deps, actor, params.id)
        return { ...noContent(), headers: noStore }
      },
      {
        params: Type.Object({ id: Id() }),
        response: { 204: Type.Void() },
        detail: detail('End one session'),
      },
    )
}

/** Ends the session of the first credential in the request. 401 without any. */
const endCurrent = async (
  deps: AuthRouteDeps,
  context: RequestContext,
  refreshToken: string | undefined,
): Promise<void> => {
  if (refreshToken !== undefined) return endSessionOfToken(deps, refreshToken, addressCaller(context.ip))
  const { request } = context
  if (request.headers.has('authorization')) {
    context.identity = await authenticate(context, deps.authenticator, deps.config)
    return endCurrentSession(deps, context.actor)
  }
  const token = refreshTokenOfCookie(request, deps.config)
  if (token === null) throw new AppError('unauthenticated')
  return endSessionOfToken(deps, token, addressCaller(context.ip))
}
