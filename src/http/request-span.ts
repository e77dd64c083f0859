// The span of a request: begun before its first step, ended with its answer. Health checks and metrics have none, because
// supervisors ask for them every few seconds.
import { failRequestSpan, runInSpan, startRequestSpan } from '../tracing/spans.ts'
import type { RequestContext } from './request-context.ts'
import { traceOf } from './trace.ts'

const untraced = new Set(['/livez', '/readyz', '/health', '/api/health', '/metrics'])

/** Runs the steps of a request in its span. */
export const inRequestSpan = <T>(context: RequestContext, steps: () => T): T => {
  const { meter, method, request } = context
  if (untraced.has(meter.route)) return steps()
  const span = startRequestSpan(`${method} ${meter.route}`, traceOf(request.headers), {
    'http.request.method': method,
    'http.route': meter.route,
    'url.scheme': 'http',
    'tasktide.request.id': context.id,
  })
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
  if (status >= 500) failRequestSpan(span, status)
  span.end()
}
