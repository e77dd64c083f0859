// A collector of traces (OTLP over HTTP, JSON) that keeps the spans it receives. Invariant: every request it takes is one
// that a real collector takes: its path, its media type and the ids of its spans are checked.
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface CollectedSpan {
  /** `service.name` of the process. */
  service: string
  name: string
  traceId: string
  spanId: string
  /** Empty for the first span of a trace. */
  parentSpanId: string
  /** Trace ids of its links. */
  links: string[]
  /** As numbers of OTLP: 2 server, 3 client, 4 producer, 5 consumer. */
  kind: number
  attributes: Record<string, string | number>
  durationMs: number
  isError: boolean
}

export interface TestCollector extends AsyncDisposable {
  readonly url: string
  readonly spans: CollectedSpan[]
  /** Attributes of the processes, for each request. */
  readonly resources: Record<string, string | number>[]
  /** Headers of the last request. */
  readonly headers: Record<string, unknown>
  /** The spans of a trace so far. */
  of(traceId: string): CollectedSpan[]
}

export const startCollector = async (): Promise<TestCollector> => {
  const spans: CollectedSpan[] = []
  const resources: Record<string, string | number>[] = []
  const faults: string[] = []
  let headers: Record<string, unknown> = {}
  const take = async (request: IncomingMessage): Promise<number> => {
    if (request.url !== '/v1/traces' || request.headers['content-type'] !== 'application/json') return 404
    headers = request.headers
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const body = JSON.parse(Buffer.concat(chunks).toString())
    spans.push(...spansIn(body))
    resources.push(...body.resourceSpans.map(({ resource }: any) => attributesOf(resource)))
    return 200
  }
  const server = createServer((request, response) => {
    take(request).then(
      (status) => response.writeHead(status, { 'Content-Type': 'application/json' }).end('{}'),
      (error: unknown) => {
        faults.push(String(error))
        response.writeHead(400).end()
      },
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    spans,
    resources,
    get headers() {
      return headers
    },
    of: (traceId) => spans.filter((span) => span.traceId === traceId),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      if (faults.length > 0) throw new Error(`the collector could not read what it got: ${faults.join('; ')}`)
    },
  }
}

const spansIn = (body: any): CollectedSpan[] =>
  body.resourceSpans.flatMap(({ resource, scopeSpans }: any) =>
    scopeSpans.flatMap(({ spans }: any) =>
      spans.map((span: any): CollectedSpan => {
        if (!/^[0-9a-f]{32}$/.test(span.traceId) || !/^[0-9a-f]{16}$/.test(span.spanId))
          throw new Error(`ids of a span: ${span.traceId} ${span.spanId}`)
        const nanos = BigInt(span.endTimeUnixNano) - BigInt(span.startTimeUnixNano)
        return {
          service: String(attributesOf(resource)['service.name']),
          name: span.name,
          traceId: span.traceId,
          spanId: span.spanId,
          parentSpanId: span.parentSpanId ?? '',
          links: (span.links ?? []).map(({ traceId }: any) => traceId),
          kind: span.kind,
          attributes: attributesOf(span),
          durationMs: Number(nanos) / 1e6,
          isError: span.status?.code === 2,
        }
      }),
    ),
  )

const attributesOf = ({ attributes = [] }: any): Record<string, string | number> =>
  Object.fromEntries(
    attributes.map(({ key, value }: any) => [
      key,
      value.stringValue ?? Number(value.intValue ?? value.doubleValue),
    ]),
  )
