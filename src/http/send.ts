// Makes the one Response of a request, with every header, and ends the request: memory released, bytes counted, line
// logged. Invariant: each request passes here exactly once, whatever happened to it.
import type { Config } from '../config.ts'
import type { WrittenBytes } from '../limits/written-bytes.ts'
import type { RequestLine } from '../log.ts'
import type { BodyBudget } from './body/body-budget.ts'
import type { CorsHeadersOf } from './cors.ts'
import { HeaderSheet } from './header-sheet.ts'
import { HeldBody } from './held-body.ts'
import type { LongQueries } from './long-queries.ts'
import type { RequestContext } from './request-context.ts'
import { endRequestSpan } from './request-span.ts'
import type { Answer } from './response.ts'

export interface SendDeps {
  config: Config
  bodies: BodyBudget
  queries: LongQueries
  writtenBytes: WrittenBytes
  corsHeadersOf: CorsHeadersOf
  logRequest: (line: RequestLine) => void
}

export type Send = (context: RequestContext, answer: Answer) => Response

export const createSend = (
  deps: SendDeps,
): { send: Send; end: (context: RequestContext, status?: number) => void } => {
  const sheet = new HeaderSheet(standardHeaders(deps.config))

  /** The headers of the answer win over the standard ones. */
  const headersOf = (context: RequestContext, own: Record<string, string>): Headers => {
    sheet.begin()
    sheet.set('X-Request-Id', context.id)
    const { rateLimit } = context
    if (rateLimit !== null) {
      const { policy, state } = rateLimit
      sheet.set('RateLimit-Policy', `"${policy.name}";q=${state.limit};w=${policy.windowSeconds}`)
      sheet.set('RateLimit', `"${policy.name}";r=${state.remaining};t=${state.resetSeconds}`)
    }
    if (context.closesConnection) sheet.set('Connection', 'close')
    const permissions = deps.corsHeadersOf(context.request)
    for (const name in permissions) sheet.set(name, permissions[name]!)
    for (const name in own) sheet.set(name, own[name]!)
    return sheet.finish()
  }

  /** @param status undefined for an upgrade. */
  const end = (context: RequestContext, status?: number): void => {
    const userId = context.identity?.actor.userId
    deps.bodies.release(context)
    deps.queries.release(context)
    if (userId !== undefined && context.writtenBytes > 0) deps.writtenBytes.add(userId, context.writtenBytes)
    const durationMs = performance.now() - context.startedAt
    context.meter.record(status, durationMs)
    const path = context.meter.loggedPath(context.path)
    endRequestSpan(context, path, status)
    deps.logRequest({
      requestId: context.id,
      ...context.trace,
      method: context.method,
      path,
      status,
      userId,
      durationMs: Math.round(durationMs * 100) / 100,
    })
  }

  return {
    send(context, { status, headers, body }) {
      if (body instanceof HeldBody) throw new TypeError('a held body is sent as a stream')
      const response = new Response(body, { status, headers: headersOf(context, headers) })
      end(context, status)
      return response
    },
    end,
  }
}

const standardHeaders = ({ env }: Config): Record<string, string> => ({
  'X-Content-Type-Options': 'nosniff',
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
  'Referrer-Policy': 'no-referrer',
  Vary: 'Origin',
  ...(env === 'production' && { 'Strict-Transport-Security': 'max-age=31536000' }),
})
