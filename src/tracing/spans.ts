// Spans of a trace (OpenTelemetry): a request, its SQL, the push of its entries, their fan-out, their consumers and the
// jobs they cause are one trace, over all processes. Between processes the `traceparent` of the writer travels in the
// stream entry and in the row of a delivery. Invariants: without an SDK (otlp.ts) nothing is recorded, `activeTrace` is
// null, and so no entry or row names a trace; a span names ids that the server made, routes and counts, never what a user
// wrote, and of an error its type alone.
import {
  context,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
  type Attributes,
  type Context,
  type Span,
} from '@opentelemetry/api'
import { AppError } from '../errors.ts'

export { SpanKind, type Attributes, type Span }

/** The trace a request belongs to, by its caller. */
export interface RemoteTrace {
  /** 32 hex digits, in lower case. */
  traceId: string
  /** The caller's span: 16 hex digits, in lower case. */
  parentSpanId: string
  /** Whether the caller records the trace. */
  isSampled: boolean
}

export interface SpanOptions {
  kind?: SpanKind
  attributes?: Attributes
  /** `performance.now()`; now by default. */
  startedAt?: number
}

const tracer = () => trace.getTracer('tasktide')

/** The `traceparent` of the recorded span in which this code runs; null for none. */
export const activeTrace = (): string | null => {
  const span = trace.getActiveSpan()
  return span?.isRecording() ? traceparentOf(span) : null
}

const traceparentOf = (span: Span): string => {
  const { traceId, spanId } = span.spanContext()
  return `00-${traceId}-${spanId}-01`
}

/** The trace that a `traceparent` of this product names. */
export const traceIdOf = (traceparent: string): string => traceparent.slice(3, 35)

/** @param traceparent one that `activeTrace` returned, in this process or another. */
const contextOf = (traceparent: string): Context =>
  remoteContext({
    traceId: traceIdOf(traceparent),
    parentSpanId: traceparent.slice(36, 52),
    isSampled: true,
  })

const remoteContext = ({ traceId, parentSpanId, isSampled }: RemoteTrace): Context =>
  trace.setSpanContext(ROOT_CONTEXT, {
    traceId,
    spanId: parentSpanId,
    traceFlags: isSampled ? TraceFlags.SAMPLED : TraceFlags.NONE,
    isRemote: true,
  })

/** Starts the span of a request, below that of its caller where there is one. */
export const startRequestSpan = (name: string, caller: RemoteTrace | null, attributes: Attributes): Span =>
  tracer().startSpan(
    name,
    { kind: SpanKind.SERVER, attributes },
    caller ? remoteContext(caller) : ROOT_CONTEXT,
  )

/** Runs `work` in a span that was started, so that what it starts belongs to it. */
export const runInSpan = <T>(span: Span, work: () => T): T =>
  context.with(trace.setSpan(ROOT_CONTEXT, span), work)

/** Runs work outside of every span: what serves many requests does not belong to the one that started it. */
export const runOutsideSpans = <T>(work: () => T): T => context.with(ROOT_CONTEXT, work)

/** Runs work later in the span that was active before. */
export type InTrace = <T>(work: () => T) => T

/** For work that another request may start: it runs in the span of this moment, or outside of every span. */
export const keepTrace = (): InTrace => {
  const active = context.active()
  return active === ROOT_CONTEXT ? runOutsideSpans : (work) => context.with(active, work)
}

/** Describes the active span, where there is one. @param errorType why it failed; null where it did not. */
export const describeSpan = (attributes: Attributes, errorType: string | null): void => {
  const span = trace.getActiveSpan()
  if (!span) return
  span.setAttributes(attributes)
  if (errorType !== null) markFailed(span, errorType)
}

/** Runs `work` in a span below the active one; without one, just runs it: work of the process itself makes no traces. */
export const withChildSpan = <T>(name: string, options: SpanOptions, work: () => Promise<T>): Promise<T> =>
  trace.getActiveSpan()?.isRecording() ? runTo(start(name, options, context.active()), work) : work()

/**
 * Runs `work` in a span below the first of the traces, linked to the others; without traces, just runs it.
 * @param traces as `activeTrace` returned them.
 */
export const withSpanOf = <T>(
  traces: readonly (string | null)[],
  name: string,
  options: SpanOptions,
  work: () => Promise<T>,
): Promise<T> => {
  const [first, ...others] = distinct(traces)
  if (first === undefined) return work()
  return runTo(start(name, options, contextOf(first), others), work)
}

/** Records a span, which ends now, below each of the traces. @param error why it failed, if it did. */
export const recordSpans = (
  traces: readonly (string | null)[],
  name: string,
  options: SpanOptions,
  error?: unknown,
): void => {
  for (const traceparent of distinct(traces)) {
    const span = start(name, options, contextOf(traceparent))
    if (error !== undefined) failSpan(span, error)
    span.end()
  }
}

const distinct = (traces: readonly (string | null)[]): string[] =>
  traces.some((one) => one !== null) ? [...new Set(traces.flatMap((one) => one ?? []))] : []

const start = (
  name: string,
  { kind = SpanKind.INTERNAL, attributes = {}, startedAt }: SpanOptions,
  parent: Context,
  linked: readonly string[] = [],
): Span =>
  tracer().startSpan(
    name,
    {
      kind,
      attributes,
      ...(startedAt !== undefined && { startTime: Date.now() - (performance.now() - startedAt) }),
      links: linked.flatMap((one) => ({ context: trace.getSpanContext(contextOf(one))! })),
    },
    parent,
  )

const runTo = async <T>(span: Span, work: () => Promise<T>): Promise<T> => {
  try {
    return await runInSpan(span, work)
  } catch (error) {
    failSpan(span, error)
    throw error
  } finally {
    span.end()
  }
}

/** The type of the error alone: its message may quote what a user sent. A refusal of the product is no failure. */
const failSpan = (span: Span, error: unknown): void => {
  if (error instanceof AppError && error.status < 500) span.setAttribute('error.type', error.code)
  else markFailed(span, error instanceof Error ? error.name : typeof error)
}

export const markFailed = (span: Span, errorType: string): void => {
  span.setAttribute('error.type', errorType)
  span.setStatus({ code: SpanStatusCode.ERROR })
}
