// /api/auth: registration, sign-in and sessions. No answer is cached and no response is stored under a key.
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
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
import { authenticate, signedIn } from '../guard.ts'
import { contextOf } from '../request-context.ts'
import { created, noContent, ok, respond } from '../response.ts'
import { describedIn } from '../route.ts'
import { addressKey } from '../../limits/address-key.ts'
import type { Attempts } from '../../limits/attempts.ts'
import { policiesOf } from '../../limits/policies.ts'
import type { RateLimiter } from '../../limits/window.ts'
import type { Log } from '../../log.ts'
import { Refresh, Registration, SignIn } from '../../model/credentials.ts'
import { Id } from '../../model/scalar.ts'
import type { StoredResponse } from '../../model/stored-response.ts'
import { Session, SessionAnswer } from '../../model/user.ts'

const noStore = { 'Cache-Control': 'no-store' }

const detail = describedIn('Auth')

/** Public routes that check another credential than an access token. */
const open = (summary: string) =>
  detail(summary, { access: 'public', errors: ['invalid_credentials', 'origin_refused'] })

/** The caller of a request without a user, for the caller queue: its address. */
const callerOf = (request: Request): string => `address:${addressKey(contextOf(request).ip)}`

const deviceOf = (request: Request) => ({
  userAgent: request.headers.get('user-agent') ?? '',
  ip: contextOf(request).ip,
  caller: callerOf(request),
})

const Sessions = Type.Object({ items: Type.Array(Session), nextCursor: Type.Null() })

export interface AuthRouteDeps {
  config: Config
  log: Log
  db: CallerDatabase
  publisher: Publisher
  tokens: Tokens
  authenticator: Authenticator
  passwords: Passwords
  limiter: RateLimiter
  attempts: Attempts
}

export const authRoutes = (deps: AuthRouteDeps) => {
  const { registrations } = policiesOf(deps.config)

  const keepToken = (request: Request, token: string | null) => ({
    ...noStore,
    'Set-Cookie': refreshCookie(token, request, deps.config),
  })

  const sessionReply = (answer: SessionAnswer, request: Request): StoredResponse =>
    ok(answer, keepToken(request, answer.refreshToken))

  return new Elysia({ prefix: '/api/auth' })
    .post(
      '/register',
      async ({ body, request, set }) => {
        await takeRateLimit(deps, set.headers, registrations, addressKey(contextOf(request).ip))
        const answer = await register(deps, body, deviceOf(request))
        return respond(created(answer, '/api/users/me', keepToken(request, answer.refreshToken)))
      },
      { body: Registration, response: { 201: SessionAnswer }, detail: open('Create an account and sign in') },
    )
    .post(
      '/login',
      async ({ body, request, set }) => {
        const checkPassword = passwordCheck(deps, request, set.headers)
        const answer = await signIn({ ...deps, checkPassword }, body, deviceOf(request))
        return respond(sessionReply(answer, request))
      },
      { body: SignIn, response: { 200: SessionAnswer }, detail: open('Sign in') },
    )
    .post(
      '/refresh',
      async ({ body, request }) => {
        const token = body?.refreshToken ?? refreshTokenOfCookie(request, deps.config)
        if (token === null) throw new AppError('unauthenticated')
        return respond(sessionReply(await refreshSession(deps, token, callerOf(request)), request))
      },
      {
        body: Type.Optional(Refresh),
        response: { 200: SessionAnswer },
        detail: open('Exchange a refresh token, from the body or the cookie, for a new session answer'),
      },
    )
    .post(
      '/logout',
      async ({ body, request }) => {
        await endCurrent(deps, request, body?.refreshToken)
        return respond({ ...noContent(), headers: keepToken(request, null) })
      },
      {
        body: Type.Optional(Refresh),
        response: { 204: Type.Void() },
        detail: open('End the session of the refresh token, the access token or the cookie'),
      },
    )
    .use(signedIn)
    .post(
      '/logout-all',
      async ({ actor, request }) => {
        await endAllSessions(deps, actor)
        return respond({ ...noContent(), headers: keepToken(request, null) })
      },
      { response: { 204: Type.Void() }, detail: detail('End all sessions, including this one') },
    )
    .get(
      '/sessions',
      async ({ actor }) => respond(ok({ items: await listSessions(deps, actor), nextCursor: null }, noStore)),
      { response: { 200: Sessions }, detail: detail('List the active sessions') },
    )
    .delete(
      '/sessions/:id',
      async ({ actor, params }) => {
        await endSession(deps, actor, params.id)
        return respond({ ...noContent(), headers: noStore })
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
  request: Request,
  refreshToken: string | undefined,
): Promise<void> => {
  if (refreshToken !== undefined) return endSessionOfToken(deps, refreshToken, callerOf(request))
  if (request.headers.has('authorization')) {
    await authenticate(request, deps.authenticator)
    return endCurrentSession(deps, contextOf(request).identity!.actor)
  }
  const token = refreshTokenOfCookie(request, deps.config)
  if (token === null) throw new AppError('unauthenticated')
  return endSessionOfToken(deps, token, callerOf(request))
}
