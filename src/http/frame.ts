// What every request passes through: identity, address, authentication, strict query and body reading, security
// headers, the access log, and one total error handler. Registered first, because Elysia's hooks guard only
// what is registered after them.
import { Elysia } from 'elysia'
import type { Deps } from '../deps.ts'
import { AppError } from '../errors.ts'
import { demandRequest } from './allowance.ts'
import { readJson } from './body.ts'
import { problem, toAppError } from './errors.ts'
import { checkRequest, type RouteSchemas } from './faults.ts'
import { authenticate, isGuarded } from './guard.ts'
import { readQuery } from './query.ts'
import { factsOf, hasAddress, pathOf, startRequest } from './request.ts'

const securityHeaders = {
  'X-Content-Type-Options': 'nosniff',
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
  'Referrer-Policy': 'no-referrer',
}

/** What the frame needs to know of the routes, which are registered after it. */
export interface RouteTable {
  /** The methods a path answers to; empty for an unknown path. */
  methodsOf(path: string): string[]
  /** What the route of this template declares; empty for none. */
  schemasOf(method: string, template: string): RouteSchemas
}

export const frame = (deps: Deps, routes: RouteTable) =>
  new Elysia({ name: 'frame' })
    .onRequest(async ({ request, server, set }) => {
      const facts = startRequest(request, clientAddress(deps, request, server?.requestIP(request)?.address))
      const { headers } = set
      Object.assign(headers, securityHeaders)
      headers['X-Request-Id'] = facts.id
      if (deps.config.env === 'production') headers['Strict-Transport-Security'] = 'max-age=31536000'
      if (!hasAddress(request)) throw new AppError('bad_request', 'The Host header is missing or wrong')
      const path = pathOf(request)
      const refusal = isGuarded(path) ? await refusalOf(request, deps.authenticator) : null
      if (isLimited(path)) await demandRequest(deps, request, headers)
      // What does not exist is 404 or 405 for everybody; the router says so.
      if (refusal !== null && routes.methodsOf(path).includes(request.method)) throw refusal
    })
    .onParse({ as: 'global' }, ({ request, contentType }) => readJson(request, contentType))
    .onTransform({ as: 'global' }, (context) => {
      const { request, route, params, body } = context
      const query = readQuery(request.url)
      const schemas = routes.schemasOf(request.method, route)
      // A schema refuses what it does not know; a route without one knows nothing.
      if (!schemas.query && Object.keys(query).length > 0) throw new AppError('unknown_parameter')
      checkRequest(schemas, { params, query, body })
      Object.assign(context, { query })
    })
    .onError({ as: 'global' }, ({ error, request }) => {
      const answer = problem(withMethods(error, request, routes), request, deps.log)
      factsOf(request).problemStatus = answer.status
      return answer
    })
    .onAfterResponse({ as: 'global' }, ({ request, responseValue }) => {
      const facts = factsOf(request)
      deps.log.info(
        {
          requestId: facts.id,
          method: request.method,
          path: pathOf(request),
          status: responseValue instanceof Response ? responseValue.status : facts.problemStatus,
          userId: facts.identity?.actor.userId,
          durationMs: Math.round((performance.now() - facts.startedAt) * 100) / 100,
        },
        'request',
      )
    })

/** Why the caller is not let in, null if it is. */
const refusalOf = (request: Request, authenticator: Deps['authenticator']): Promise<unknown> =>
  authenticate(request, authenticator).then(
    () => null,
    (error: unknown) => error,
  )

/** Sockets have limits of their own. */
const isLimited = (path: string): boolean => path.startsWith('/api/') && path !== '/api/ws'

const withMethods = (error: unknown, request: Request, routes: RouteTable): unknown => {
  const known = toAppError(error)
  if (known.code !== 'not_found' || !(error instanceof Error) || error === known) return error
  const allow = routes.methodsOf(pathOf(request))
  return allow.length > 0 && !allow.includes(request.method)
    ? new AppError('method_not_allowed', undefined, { extra: { allow } })
    : error
}

/** The peer, or what the given number of trusted proxies says of it; IPv4 in IPv6 as IPv4. */
const clientAddress = ({ config }: Deps, request: Request, peer = ''): string => {
  const forwarded =
    request.headers
      .get('x-forwarded-for')
      ?.split(',')
      .map((part) => part.trim()) ?? []
  const hops = Math.min(config.trustedProxies, forwarded.length)
  return (hops > 0 ? forwarded[forwarded.length - hops]! : peer).replace(/^::ffff:/, '')
}
