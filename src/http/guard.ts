// Authenticates requests and checks the scopes of personal access tokens. The pipeline calls it for every route that does
// not declare `access: 'public'`, so that a new route is closed until it declares otherwise.
import { bearerTokenOf, type Authenticator, type Identity } from '../auth/authenticator.ts'
import type { OriginConfig } from '../auth/origin.ts'
import { requireAdmin } from '../domain/actor.ts'
import { AppError } from '../errors.ts'
import { permits } from '../model/personal-token.ts'
import { adminTokenOfCookie } from './admin-cookie.ts'
import type { RequestContext } from './request-context.ts'

/**
 * The identity of the bearer token: at once where it is memoised. The caller stores it in the context.
 * @throws AppError 401 without a token; the promise rejects as the authenticator does.
 */
export const authenticate = (
  { request, traits }: RequestContext,
  authenticator: Authenticator,
  config: OriginConfig,
): Identity | Promise<Identity> => {
  const header = request.headers.get('authorization') ?? ''
  // A memoised token is a token: only others are parsed.
  const known = header.startsWith('Bearer ') ? authenticator.memoised(header.slice('Bearer '.length)) : null
  if (known) return known
  const isPage = traits.access === 'admin' && header === ''
  const token = isPage ? adminTokenOfCookie(request, config) : bearerTokenOf(header)
  if (token === null) throw new AppError('unauthenticated')
  return authenticator.authenticate(token)
}

/**
 * 403 `insufficient_scope` where a personal access token authenticated the request and does not permit it, and
 * `forbidden` where the route is for administrators and the user is none.
 */
export const requireScope = ({ identity, traits, isRead }: RequestContext): void => {
  if (!identity) return
  const { actor } = identity
  const { credential } = actor
  if (traits.access === 'admin' && credential.kind !== 'token') requireAdmin(actor)
  if (credential.kind !== 'token') return
  if (traits.access !== 'bearer')
    throw new AppError('insufficient_scope', 'Personal access tokens are not accepted here')
  if (!permits(credential.scopes, isRead ? 'read' : 'write'))
    throw new AppError('insufficient_scope', 'The token may read only')
}
