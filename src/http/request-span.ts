// The span of a request: begun before its first step, ended with its answer. Health checks and metrics have none, because
// supervisors ask for them every few seconds.
import { markFailed, runInSpan, startRequestSpan } from '../tracing/spans.ts'
import type { RequestContext } from './request-context.ts'
import { traceOf } from './trace.ts'

const untraced = new Set(['/livez', '/readyz', '/health', '/metrics'])

/** Runs the steps of a request in its span. `X-Request-Id` may be a client's text: the log has it, beside the ids of the span. */
export const inRequestSpan = <T>(context: RequestContext, steps: () => T): T => {
  const { meter, request } = context
  const { method, route } = meter
  if (untraced.has(route)) return steps()
  const attributes = meter.isRoute
    ? { 'http.request.method': method, 'http.route': route }
    : { 'http.request.method': '_OTHER' }
  const span = startRequestSpan(
    meter.isRoute ? `${method} ${route}` : 'HTTP',
    traceOf(request.headers),
    attributes,
  )
  if (!span.isRecording()) return steps()
  context.span = span
  return runInSpan(span, steps)
}

/** @param path as the log may hold it. @param status undefined for an upgrade. */
export const endRequestSpan = (context: RequestContext, path: string, status = 101): void => {
  const { span, identity } = context
  if (!span) return
  span.setAttributes({ 'url.path': path, 'http.response.status_code': status })
  if (identity) span.setAttribute('user.id', identity.actor.userId)
  if (status >= 500) markFailed(span, String(status))
  span.end()
}
