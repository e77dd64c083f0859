// Settings of the collector of traces, named and written as OpenTelemetry does. Invariant: a problem never quotes a value.
import { optional, secret, type Key } from './setting-kinds.ts'
import { httpUrlProblems } from './url.ts'

/** Scheme, host, port and perhaps a path, to which `/v1/traces` is added. */
export const collectorUrlProblems = (text: string): string[] =>
  httpUrlProblems(text, 'put them into OTEL_EXPORTER_OTLP_HEADERS')

const listProblem = 'must be a comma list of name=value, values percent-encoded'

/** A comma list of name=value, the values percent-encoded. */
const pairs = (name: string, about: string, example: string): Key<Record<string, string>> => ({
  name,
  about: `${about}, comma list of name=value, values percent-encoded`,
  example,
  read(value, fail) {
    const read: Record<string, string> = {}
    for (const part of (value ?? '').split(',')) {
      if (part.trim() === '') continue
      const [, key, text] = /^\s*([\w!#$%&'*+.^`|~-]+)\s*=\s*(.*?)\s*$/.exec(part) ?? []
      const decoded = text === undefined ? null : decodedOf(text)
      if (key === undefined || decoded === null) fail(listProblem)
      else read[key] = decoded
    }
    return read
  },
})

/** Null where it is not printable ASCII, as headers are. */
const decodedOf = (text: string): string | null => {
  try {
    const decoded = decodeURIComponent(text)
    return /^[\t\x20-\x7e]*$/.test(decoded) ? decoded : null
  } catch {
    return null
  }
}

const ratio: Key<number> = {
  name: 'OTEL_TRACES_SAMPLER_ARG',
  about:
    'Share of the traces that begin here and are recorded (0 to 1, default 1); a caller decides of its own',
  example: '1',
  read(value = '1', fail) {
    const share = /^(?:0|1|0?\.\d{1,9}|[01]\.\d{1,9})$/.test(value) ? Number(value) : Number.NaN
    if (share >= 0 && share <= 1) return share
    fail('must be a number from 0 to 1')
    return 1
  },
}

export const collectorSettings = {
  otlpEndpoint: optional(
    'OTEL_EXPORTER_OTLP_ENDPOINT',
    'Collector that receives traces, OTLP over HTTP; when unset nothing is traced',
    'http://localhost:4318',
    collectorUrlProblems,
  ),
  otlpHeaders: secret(
    pairs(
      'OTEL_EXPORTER_OTLP_HEADERS',
      'Headers of requests to the collector',
      'authorization=Bearer%20change-me',
    ),
  ),
  otelServiceName: optional(
    'OTEL_SERVICE_NAME',
    'Name of the service in traces; when unset tasktide-server, tasktide-worker or, for both in one process, tasktide',
    'tasktide',
  ),
  otelAttributes: pairs(
    'OTEL_RESOURCE_ATTRIBUTES',
    'Attributes of all spans',
    'deployment.environment.name=production',
  ),
  tracesRatio: ratio,
}
