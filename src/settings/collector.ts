// Settings of the collector of traces, named and written as OpenTelemetry does. Invariant: a problem never quotes a value.
import type { Key } from './setting-kinds.ts'
import { readUrl } from './url.ts'

/** Scheme, host, port and perhaps a path, to which `/v1/traces` is added. */
export const collectorUrlProblems = (text: string): string[] => {
  const { url, problems } = readUrl(text, ['http:', 'https:'])
  if (!url) return problems
  if (url.username !== '' || url.password !== '')
    return ['contains credentials: put them into OTEL_EXPORTER_OTLP_HEADERS instead']
  return url.search === '' ? [] : ['has parameters: leave them out']
}

/** Comma list of name=value, the values percent-encoded. */
export const collectorHeaders: Key<Record<string, string>> = {
  name: 'OTEL_EXPORTER_OTLP_HEADERS',
  about: 'Headers of requests to the collector, comma list of name=value, values percent-encoded',
  example: 'authorization=Bearer%20change-me',
  read(value, fail) {
    const headers: Record<string, string> = {}
    for (const part of (value ?? '').split(',')) {
      if (part.trim() === '') continue
      const [, name, text] = /^\s*([\w!#$%&'*+.^`|~-]+)\s*=\s*(.*?)\s*$/.exec(part) ?? []
      const decoded = text === undefined ? null : decodedOf(text)
      if (name === undefined || decoded === null)
        fail('must be a comma list of name=value, values percent-encoded')
      else headers[name] = decoded
    }
    return headers
  },
}

/** Null where it is not the value of a header. */
const decodedOf = (text: string): string | null => {
  try {
    const decoded = decodeURIComponent(text)
    return /^[\t\x20-\x7e]*$/.test(decoded) ? decoded : null
  } catch {
    return null
  }
}

export const tracesRatio: Key<number> = {
  name: 'OTEL_TRACES_SAMPLER_ARG',
  about:
    'Share of the traces that begin here and are recorded (0 to 1, default 1); a caller decides of its own',
  example: '1',
  read(value = '1', fail) {
    const ratio = /^(?:0|1|0?\.\d{1,9}|[01]\.\d{1,9})$/.test(value) ? Number(value) : Number.NaN
    if (ratio >= 0 && ratio <= 1) return ratio
    fail('must be a number from 0 to 1')
    return 1
  },
}
