// What every request passes through: identity, address, authentication, strict query and body reading, security
// headers, the access log, and one total error handler. Registered first, because Elysia's hooks guard only
// what is registered after them.
import { Elysia } from 'elysia'
import type { Authenticator } from '../auth/authenticator.ts'
import type { Config } from '../config.ts'
import { AppError } from '../errors.ts'
import { limitRequest, requireWritable } from './allowance.ts'
import type { BodyBudget } from './body/body-budget.ts'
import { readJson } from './body/json.ts'
import { clientAddress } from './client-address.ts'
import { isPreflight } from './cors.ts'
import { problem } from './errors.ts'
import { requirePlace } from './exact-path.ts'
import { checkRequest, type RouteSchemas } from './faults.ts'
import { authenticate, isGuarded } from './guard.ts'
import { readQuery, requireFewParameters } from './query.ts'
import { contextOf, hasValidHost, pathOf, createContext } from './request-context.ts'
import { routeOf, type RouteTable } from './route-table.ts'
import type { RateLimiter } from '../limits/window.ts'
import type { WrittenBytes } from '../limits/written-bytes.ts'
import type { Log } from '../log.ts'
import { toCanonical } from '../model/canonical.ts'

const securityHeaders = {
  'X-Content-Type-Options': 'nosniff',
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
  'Referrer-Policy': 'no-referrer',
}

export interface PipelineDeps {
  config: Config
  log: Log
  bodies: BodyBudget
  authenticator: Authenticator
  limiter: RateLimiter
  writtenBytes: WrittenBytes
}

export const requestPipeline = (deps: PipelineDeps, routes: RouteTable) =>
  new Elysia({ name: 'frame' })
    .onRequest(async ({ request, server, set }) => {
      const peer = server?.requestIP(request)?.address ?? ''
      const forwardedFor = request.headers.get('x-forwarded-for')
      const facts = createContext(request, clientAddress(forwardedFor, peer, deps.config.trustedProxies))
      const { headers } = set
      Object.assign(headers, securityHeaders)
      headers['X-Request-Id'] = facts.id
      if (deps.config.env === 'production') headers['Strict-Transport-Security'] = 'max-age=31536000'
      if (isPreflight(request))
        return new Response(null, { status: 204, headers: { 'Cache-Control': 'no-store' } })
      if (!hasValidHost(request)) throw new AppError('bad_request', 'The Host header must name one host')
      const { bodies } = deps
      // Until it was read. The answer before that ends the connection, or Bun would go on taking the body.
      if (bodies.arrived(request)) headers['Connection'] = 'close'
      bodies.reserve(request)
      const path = pathOf(request)
      const refusal = isGuarded(path) ? await refusalOf(request, deps.authenticator) : null
      if (isLimited(path)) await limitRequest(deps, request, headers)
      // What does not exist is 404 or 405, with credentials or without.
      facts.place = requirePlace(request, routes)
      if (refusal !== null) throw refusal
      if (isLimited(path)) requireWritable(deps, request, headers)
      if (facts.identity) bodies.identified(request, facts.identity.actor.userId)
      requireFewParameters(request)
      return undefined
    })
    .onParse({ as: 'global' }, async ({ request, contentType, set }) => {
      const value = await readJson(request, contentType, deps.config.bodyDeadlineSeconds * 1_000)
      delete set.headers['Connection']
      return value
    })
    .onTransform({ as: 'global' }, (context) => {
      const { request, body } = context
      const params = { ...context.params }
      const query = readQuery(request)
      const schemas = schemasOf(request)
      // A schema refuses what it does not know; a route without one knows nothing.
      if (!schemas.query && Object.keys(query).length > 0) throw new AppError('unknown_parameter')
      if (schemas.params) toCanonical(schemas.params, params)
      if (schemas.query) toCanonical(schemas.query, query)
      if (schemas.body) toCanonical(schemas.body, body)
      checkRequest(schemas, { params, query, body })
      Object.assign(context, { params, query })
    })
    .onError({ as: 'global' }, ({ error, request }) => {
      const answer = problem(error, request, deps.log)
      contextOf(request).problemStatus = answer.status
      return answer
    })
    .onAfterResponse({ as: 'global' }, ({ request, responseValue }) => {
      const facts = contextOf(request)
      deps.bodies.release(request)
      if (facts.identity) deps.writtenBytes.add(facts.identity.actor.userId, facts.writtenBytes ?? 0)
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
const refusalOf = (request: Request, authenticator: Authenticator): Promise<unknown> =>
  authenticate(request, authenticator).then(
    () => null,
    (error: unknown) => error,
  )

/** What the route of a request declares; nothing before its path is known. */
const schemasOf = (request: Request): RouteSchemas => {
  const { place } = contextOf(request)
  return (place && routeOf(place, request.method)?.hooks) ?? {}
}

/** Sockets have limits of their own. */
const isLimited = (path: string): boolean => path.startsWith('/api/') && path !== '/api/ws'
