// The settings of the collector of traces: what OpenTelemetry documents is read, and what it does not is refused.
import { expect, test } from 'bun:test'
import { collectorSettings, collectorUrlProblems } from '../../src/settings/collector.ts'
import type { Key } from '../../src/settings/setting-kinds.ts'

const { otlpHeaders, tracesRatio } = collectorSettings

/** The value, or the problems. */
const read = <T>(key: Key<T>, text?: string): T | string[] => {
  const problems: string[] = []
  const value = key.read(text, (problem) => problems.push(problem), false)
  return problems.length > 0 ? problems : value
}

test.each<[string | undefined, Record<string, string>]>([
  [undefined, {}],
  ['', {}],
  ['authorization=Bearer%20a%3Db', { authorization: 'Bearer a=b' }],
  [' x-key = one , x-other=two=2,', { 'x-key': 'one', 'x-other': 'two=2' }],
  ['x-empty=', { 'x-empty': '' }],
])('headers %j', (text, headers) => {
  expect(read(otlpHeaders, text)).toEqual(headers)
})

test.each(['authorization', '=x', 'a b=c', 'key=%zz', 'key=%0d%0aother: 1', 'key=é'])(
  'headers %j are refused without being quoted',
  (text) => {
    expect(read(otlpHeaders, text)).toEqual(['must be a comma list of name=value, values percent-encoded'])
  },
)

test.each<[string | undefined, number]>([
  [undefined, 1],
  ['0', 0],
  ['1', 1],
  ['1.0', 1],
  ['0.05', 0.05],
  ['.5', 0.5],
])('ratio %j', (text, ratio) => {
  expect(read(tracesRatio, text)).toBe(ratio)
})

test.each(['', '2', '1.5', '-0.1', 'half', '1e-3', '50%'])('ratio %j is refused', (text) => {
  expect(read(tracesRatio, text)).toEqual(['must be a number from 0 to 1'])
})

test('the address of a collector has no credentials and no parameters', () => {
  expect(collectorUrlProblems('http://localhost:4318')).toEqual([])
  expect(collectorUrlProblems('https://otel.example.com/tenant/')).toEqual([])
  expect(collectorUrlProblems('localhost:4318')).toHaveLength(1)
  expect(collectorUrlProblems('grpc://localhost:4317')).toHaveLength(1)
  expect(collectorUrlProblems('http://user:secret@localhost:4318').join()).toContain(
    'OTEL_EXPORTER_OTLP_HEADERS',
  )
  expect(collectorUrlProblems('http://localhost:4318/?key=1').join()).toContain('parameters')
})
