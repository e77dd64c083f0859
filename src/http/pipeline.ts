// The steps of every request, in order: context, headers, authentication, limits, body, validation, problem, access
// log. Registered before all routes, because Elysia's hooks apply only to what is registered after them.
import { Elysia } from 'elysia'
import type { Authenticator } from '../auth/authenticator.ts'
import type { Config } from '../config.ts'
import { AppError } from '../errors.ts'
import { hasBody, type BodyBudget } from './body/body-budget.ts'
import { clientAddress } from './client-address.ts'
import { isPreflight, preflightAnswer } from './cors.ts'
import { problemAnswer } from './errors.ts'
import { requireRoute } from './exact-path.ts'
import { checkRequest } from './violations.ts'
import { authenticate } from './guard.ts'
import { readQuery, requireFewParameters } from './query.ts'
import { limitRequest, requireWritable, type Headers } from './rate-limit.ts'
import { contextOf, createContext, pathOf, requireValidHost } from './request-context.ts'
import type { RouteTable } from './route-table.ts'
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
  new Elysia({ name: 'pipeline' })
    .onRequest(async ({ request, server, set: { headers } }) => {
      const peer = server?.requestIP(request)?.address ?? ''
      const forwardedFor = request.headers.get('x-forwarded-for')
      const ip = clientAddress(forwardedFor, peer, deps.config.trustedProxies)
      const context = createContext(request, ip, routes)
      setStandardHeaders(deps, headers, context.id)
      if (isPreflight(request)) return preflightAnswer()
      requireValidHost(request)
      admitBody(deps, request, headers)
      const rejection = context.traits.access === 'bearer' ? await rejectionOf(deps, request) : null
      const isLimited = context.traits.rateLimit === 'requests'
      if (isLimited) await limitRequest(deps, request, headers)
      // A path or method that does not exist is 404 or 405, with credentials or without.
      requireRoute(request, context.found, routes)
      if (rejection !== null) throw rejection
      if (isLimited) requireWritable(deps, request, headers)
      if (context.identity) deps.bodies.assignToUser(request, context.identity.actor.userId)
      requireFewParameters(request)
      return undefined
    })
    .onParse({ as: 'global' }, ({ request, contentType, set }) =>
      readBody(deps, request, contentType, set.headers),
    )
    .onTransform({ as: 'global' }, (context) => {
      Object.assign(context, validated(context.request, context.params))
    })
    .onError({ as: 'global' }, ({ error, request }) => {
      const answer = problemAnswer(error, request, deps.log)
      contextOf(request).problemStatus = answer.status
      return answer
    })
    .onAfterResponse({ as: 'global' }, ({ request, responseValue }) => {
      const { identity, problemStatus, writtenBytes } = contextOf(request)
      deps.bodies.release(request)
      if (identity) deps.writtenBytes.add(identity.actor.userId, writtenBytes ?? 0)
      logRequest(deps, request, responseValue instanceof Response ? responseValue.status : problemStatus)
    })

const setStandardHeaders = (
  { config }: Pick<PipelineDeps, 'config'>,
  headers: Headers,
  requestId: string,
): void => {
  Object.assign(headers, securityHeaders)
  headers['X-Request-Id'] = requestId
  if (config.env === 'production') headers['Strict-Transport-Security'] = 'max-age=31536000'
}

/** Reserves the body's bytes. An answer before it is read closes the connection, or Bun goes on buffering the body. */
const admitBody = ({ bodies }: Pick<PipelineDeps, 'bodies'>, request: Request, headers: Headers): void => {
  if (!hasBody(request)) return
  headers['Connection'] = 'close'
  bodies.reserve(request)
}

/** The error of a failed authentication, null where it succeeds: it is thrown after the limits and 404. */
const rejectionOf = (
  { authenticator }: Pick<PipelineDeps, 'authenticator'>,
  request: Request,
): Promise<unknown> =>
  authenticate(request, authenticator).then(
    () => null,
    (error: unknown) => error,
  )

/** Reads the body as its route declares. */
const readBody = async (
  { bodies, config }: Pick<PipelineDeps, 'bodies' | 'config'>,
  request: Request,
  mediaType: string,
  headers: Headers,
): Promise<unknown> => {
  const context = contextOf(request)
  const body = await context.traits.body.read({
    request,
    mediaType,
    deadlineMs: config.bodyDeadlineSeconds * 1_000,
    reserve: (length) => bodies.extend(request, length),
    complete: () => {
      delete headers['Connection']
    },
  })
  if (context.traits.body.kind === 'value') context.body = body
  return body
}

/** The parameters and the query in canonical form, after they and the body were checked against the schemas. */
const validated = (request: Request, given: object) => {
  const { body, schemas } = contextOf(request)
  const params: Record<string, unknown> = { ...given }
  const query = readQuery(request)
  // A route without a query schema accepts no parameter.
  if (!schemas.query && Object.keys(query).length > 0) throw new AppError('unknown_parameter')
  if (schemas.params) toCanonical(schemas.params, params)
  if (schemas.query) toCanonical(schemas.query, query)
  if (schemas.body) toCanonical(schemas.body, body)
  checkRequest(schemas, { params, query, body })
  return { params, query }
}

const logRequest = (
  { log }: Pick<PipelineDeps, 'log'>,
  request: Request,
  status: number | undefined,
): void => {
  const { id, identity, startedAt } = contextOf(request)
  log.info(
    {
      requestId: id,
      method: request.method,
      path: pathOf(request),
      status,
      userId: identity?.actor.userId,
      durationMs: Math.round((performance.now() - startedAt) * 100) / 100,
    },
    'request',
  )
}
