// The trace a request belongs to, by its `traceparent` (W3C Trace Context): log lines name it, so that they are found
// beside the spans of the systems before this one.
import type { RemoteTrace } from '../tracing/spans.ts'

/** Version ff and ids of zeros are invalid. A later version than 00 may go on after a hyphen. */
const pattern = /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/

/** Null without the header, and for an invalid one, which is ignored as if it were absent. */
export const traceOf = (headers: Headers): RemoteTrace | null => {
  const given = headers.get('traceparent')
  if (given === null) return null
  const [, version, traceId, parentSpanId, flags, more] = pattern.exec(given) ?? []
  if (traceId === undefined || parentSpanId === undefined || flags === undefined) return null
  if (version === '00' && more !== undefined) return null
  return { traceId, parentSpanId, isSampled: (Number.parseInt(flags, 16) & 1) === 1 }
}
