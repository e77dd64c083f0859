// Authentication, before anything else of a request is looked at. A path under /api is guarded unless it is on
// the list here, so that a new route is closed until somebody opens it.
import { Elysia } from 'elysia'
import type { Authenticator } from '../auth/authenticator.ts'
import { bearerTokenOf } from '../auth/bearer.ts'
import { AppError } from '../errors.ts'
import { contextOf } from './request-context.ts'

/** Everything that answers without credentials. The socket checks its own. */
export const publicPaths = new Set([
  '/api/auth/register',
  '/api/auth/login',
  '/api/auth/refresh',
  '/api/auth/logout',
  '/api/auth/password-reset/request',
  '/api/auth/password-reset/confirm',
  '/api/auth/email/verify/confirm',
  '/api/openapi.json',
  '/api/asyncapi.json',
  '/api/docs',
  '/api/ws',
])

export const isGuarded = (path: string): boolean =>
  path.startsWith('/api/') && !publicPaths.has(path) && !path.startsWith('/api/docs/')

/** Puts the caller into the request's facts; 401 without valid credentials. */
export const authenticate = async (request: Request, authenticator: Authenticator): Promise<void> => {
  const header = request.headers.get('authorization')
  const token = header && bearerTokenOf(header)
  if (!token) throw new AppError('unauthenticated')
  contextOf(request).identity = await authenticator.authenticate(token)
}

/** How the OpenAPI document introduces the guarded operations of one tag. */
export const guarded = (tag: string) => (summary: string) => ({
  tags: [tag],
  summary,
  security: [{ bearer: [] }],
})

/** Gives handlers `actor`. Using it on an unguarded path is a bug that answers 401. */
export const signedIn = new Elysia({ name: 'signed-in' }).derive({ as: 'scoped' }, ({ request }) => {
  const { identity } = contextOf(request)
  if (!identity) throw new AppError('unauthenticated')
  return { actor: identity.actor }
})
