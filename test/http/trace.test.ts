// Which `traceparent` headers name a trace, by W3C Trace Context.
import { expect, test } from 'bun:test'
import { traceOf } from '../../src/http/trace.ts'

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const parentSpanId = '00f067aa0ba902b7'
const of = (traceparent: string) => traceOf(new Headers({ traceparent }))

test.each([
  [`00-${traceId}-${parentSpanId}-01`, true],
  [`00-${traceId}-${parentSpanId}-00`, false],
  [`00-${traceId}-${parentSpanId}-fe`, false],
  [`00-${traceId}-${parentSpanId}-ff`, true],
  [`cc-${traceId}-${parentSpanId}-01`, true], // a later version
  [`cc-${traceId}-${parentSpanId}-01-what-comes-later`, true],
])('%s names its trace, the span of the caller and whether it is recorded', (header, isSampled) => {
  expect(of(header)).toEqual({ traceId, parentSpanId, isSampled })
})

test.each([
  '',
  'x',
  `ff-${traceId}-${parentSpanId}-01`,
  `00-${'0'.repeat(32)}-${parentSpanId}-01`,
  `00-${traceId}-${'0'.repeat(16)}-01`,
  `00-${traceId.toUpperCase()}-${parentSpanId}-01`,
  `00-${traceId.slice(1)}-${parentSpanId}-01`,
  `00-${traceId}a-${parentSpanId}-01`,
  `00-${traceId}-${parentSpanId}`,
  `00-${traceId}-${parentSpanId}-1`,
  `00-${traceId}-${parentSpanId}-0g`,
  `00-${traceId}-${parentSpanId}-01-more`, // version 00 has four parts
  `cc-${traceId}-${parentSpanId}-01.more`,
  `0-${traceId}-${parentSpanId}-01`,
  `00-${traceId}-${parentSpanId}-01, 00-${traceId}-${parentSpanId}-01`, // sent twice
  `"00-${traceId}-${parentSpanId}-01"`,
])('%j is ignored', (header) => {
  expect(of(header)).toBeNull()
})

test('a request without the header has no trace', () => {
  expect(traceOf(new Headers())).toBeNull()
})
