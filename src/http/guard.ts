// Authenticates requests. The pipeline calls it for every route that does not declare `access: 'public'`, so that a new
// route is closed until it declares otherwise.
import { Elysia } from 'elysia'
import type { Authenticator } from '../auth/authenticator.ts'
import { bearerTokenOf } from '../auth/bearer.ts'
import { AppError } from '../errors.ts'
import { contextOf } from './request-context.ts'

/** Stores the identity in the request's context. 401 without valid credentials. */
export const authenticate = async (request: Request, authenticator: Authenticator): Promise<void> => {
  const header = request.headers.get('authorization')
  const token = header && bearerTokenOf(header)
  if (!token) throw new AppError('unauthenticated')
  contextOf(request).identity = await authenticator.authenticate(token)
}

/** Provides handlers with `actor`. On a public route it answers 401. */
export const signedIn = new Elysia({ name: 'signed-in' }).derive({ as: 'scoped' }, ({ request }) => {
  const { identity } = contextOf(request)
  if (!identity) throw new AppError('unauthenticated')
  return { actor: identity.actor }
})
