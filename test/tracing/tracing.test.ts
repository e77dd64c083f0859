// Traces of real processes, as a collector receives them: one trace from the request through SQL, push, fan-out, consumers
// and jobs, nothing of a trace that is not recorded, nothing that users wrote, and no harm without a collector.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import { startCluster, type Cluster } from '../support/cluster.ts'
import { startCollector, type CollectedSpan, type TestCollector } from '../support/collector.ts'
import { eventually } from '../support/eventually.ts'
import { openSocket } from '../support/socket.ts'
import { testPassword } from '../support/world.ts'

const stack = new AsyncDisposableStack()
let collector: TestCollector
let cluster: Cluster
let token = ''
let email = ''
let projectId = ''

beforeAll(async () => {
  collector = stack.use(await startCollector())
  cluster = stack.use(
    await startCluster({
      servers: 2,
      workers: 1,
      environment: {
        LOG_LEVEL: 'info',
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
        OTEL_EXPORTER_OTLP_HEADERS: 'x-collector-key=a%20secret',
        OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
      },
      report: () => {},
    }),
  )
  email = `ada-${Bun.randomUUIDv7()}@example.com`
  const body = { email, name: 'Ada Lovelace', password: testPassword }
  token = (await call('POST', '/api/auth/register', { body })).accessToken
  projectId = (await call('POST', '/api/projects', { body: { name: 'Analytical engine' } })).id
}, 60_000)
afterAll(() => stack.disposeAsync(), 60_000)

interface Options {
  body?: object
  traceparent?: string
  status?: number
}

const call = async (method: string, path: string, options: Options = {}): Promise<any> => {
  const { body, traceparent, status } = options
  const response = await fetch(`${cluster.servers[0]!.url}${path}`, {
    method,
    headers: {
      'Content-Type': 'application/json',
      ...(token !== '' && { Authorization: `Bearer ${token}` }),
      ...(traceparent !== undefined && { traceparent }),
    },
    ...(body && { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  if (status === undefined ? !response.ok : response.status !== status)
    throw new Error(`${method} ${path}: ${response.status} ${text}`)
  return text === '' ? null : JSON.parse(text)
}

const hex = (bytes: number): string =>
  Buffer.from(crypto.getRandomValues(new Uint8Array(bytes))).toString('hex')

/** A caller's trace. */
const newTrace = (flags = '01') => {
  const [traceId, spanId] = [hex(16), hex(8)]
  return { traceId, spanId, traceparent: `00-${traceId}-${spanId}-${flags}` }
}

/** Lines of all logs about spans that were not sent. */
const warnings = async (): Promise<string[]> => {
  const logs = new Bun.Glob('*.log').scan({ cwd: join(cluster.dataDir, 'logs'), absolute: true })
  const texts = await Array.fromAsync(logs, (file) => Bun.file(file).text())
  return texts.flatMap((text) => text.split('\n').filter((line) => line.includes('spans are lost')))
}

/** Once all of these are there: each by `service name` of its process and span. */
const spansOf = async (traceId: string, names: string[]): Promise<Map<string, CollectedSpan>> =>
  eventually(
    () => {
      const spans = new Map(collector.of(traceId).map((span) => [`${span.service} ${span.name}`, span]))
      expect([...spans.keys()].sort()).toEqual([...names].sort())
      return spans
    },
    { timeoutMs: 20_000 },
  )

test('a write is one trace: request, transaction, push, fan-out on every server with a subscriber, consumers', async () => {
  const scope = `project:${projectId}`
  const { cursor } = await call('GET', `/api/projects/${projectId}/snapshot`)
  await using socket = await openSocket(cluster.servers[1]!.url, { token })
  socket.send({ t: 'sub', rid: 's1', scope, cursor })
  await socket.take('synced')
  const { traceId, spanId, traceparent } = newTrace()
  const { id } = await call('POST', '/api/tasks', {
    body: { title: 'Weave numbers', projectId },
    traceparent,
  })
  await socket.take('event')
  const spans = await spansOf(traceId, [
    'tasktide-server POST /api/tasks',
    'tasktide-server PostgreSQL batch',
    'tasktide-server push',
    'tasktide-server fan-out',
    'tasktide-worker consume stats',
    'tasktide-worker consume activity',
    'tasktide-worker PostgreSQL transaction',
  ])
  const request = spans.get('tasktide-server POST /api/tasks')!
  expect(request).toMatchObject({
    parentSpanId: spanId,
    kind: 2,
    isError: false,
    attributes: {
      'http.request.method': 'POST',
      'http.route': '/api/tasks',
      'http.response.status_code': 201,
    },
  })
  const consumers = collector.of(traceId).filter(({ name }) => name.startsWith('consume '))
  for (const [name, span] of spans) {
    if (span === request) continue
    const parents = name === 'tasktide-worker PostgreSQL transaction' ? consumers : [request]
    expect(parents.map((parent) => parent.spanId)).toContain(span.parentSpanId)
  }
  expect(spans.get('tasktide-server fan-out')!.attributes).toMatchObject({
    'tasktide.scope': scope,
    'tasktide.subscribers': 1,
  })
  expect(id).toBeString()
}, 30_000)

test('a mail that a request causes is a job of its trace, with its SQL below it', async () => {
  const { traceId, traceparent } = newTrace()
  await call('POST', '/api/auth/password-reset/request', { body: { email }, traceparent })
  await eventually(
    () => expect(collector.of(traceId).map(({ name }) => name)).toContain('job mail.password_reset'),
    { timeoutMs: 20_000 },
  )
  const spans = collector.of(traceId)
  const job = spans.find(({ name }) => name === 'job mail.password_reset')!
  const request = spans.find(({ kind }) => kind === 2)!
  expect(job).toMatchObject({
    service: 'tasktide-worker',
    kind: 5,
    attributes: { 'tasktide.job.attempt': 1 },
  })
  const parents = new Map(spans.map((span) => [span.spanId, span]))
  let top: CollectedSpan = job
  while (parents.has(top.parentSpanId)) top = parents.get(top.parentSpanId)!
  expect(top.spanId).toBe(request.spanId)
  expect(spans.filter(({ parentSpanId, kind }) => parentSpanId === job.spanId && kind === 3)).not.toBeEmpty()
}, 30_000)

test('a trace that its caller does not record leaves nothing, and a request without a caller begins one', async () => {
  const unrecorded = newTrace('00')
  await call('POST', '/api/tasks', {
    body: { title: 'Not seen', projectId },
    traceparent: unrecorded.traceparent,
  })
  const before = collector.spans.length
  await call('GET', `/api/tasks/${Bun.randomUUIDv7()}`, { status: 404 })
  const own = await eventually(() => {
    const span = collector.spans.slice(before).find(({ name }) => name === 'GET /api/tasks/:id')
    expect(span).toBeDefined()
    return span!
  })
  expect(own).toMatchObject({ parentSpanId: '', isError: false })
  expect(own.attributes['http.response.status_code']).toBe(404)
  expect(collector.of(unrecorded.traceId)).toEqual([])
})

test('spans name no text, address or secret of a user, health checks have none, and requests carry the headers', async () => {
  await fetch(`${cluster.servers[0]!.url}/livez`)
  const { traceId, traceparent } = newTrace()
  await call('GET', `/api/tasks?search=${encodeURIComponent('Weave numbers')}`, { traceparent })
  await eventually(() => expect(collector.of(traceId)).not.toBeEmpty())
  const all = JSON.stringify(collector.spans)
  for (const secret of ['Weave', 'Analytical', 'Lovelace', email, token.slice(-20), testPassword])
    expect(all).not.toContain(secret)
  expect(collector.spans.filter(({ name }) => /livez|readyz|metrics/.test(name))).toEqual([])
  expect(collector.headers).toMatchObject({ 'x-collector-key': 'a secret' })
  expect(collector.resources.map((one) => one['deployment.environment.name'])).toEqual(
    collector.resources.map(() => 'test'),
  )
})

test('without a collector that answers, requests are answered, one line says so, and a stop is on time', async () => {
  const [server] = cluster.servers
  await server!.stop()
  await using gone = await startCollector()
  const { url } = gone
  await gone[Symbol.asyncDispose]()
  await server!.start({ OTEL_EXPORTER_OTLP_ENDPOINT: url })
  try {
    for (let n = 0; n < 20; n += 1) await call('GET', '/api/tasks?limit=1')
    await eventually(async () => expect(await warnings()).toHaveLength(1), { timeoutMs: 20_000 })
    for (let n = 0; n < 20; n += 1) await call('GET', '/api/tasks?limit=1')
  } finally {
    expect(await server!.stop()).toBe(0)
    await server!.start() // for the other tests, which run in any order
  }
  expect(await warnings()).toHaveLength(1)
  await call('GET', '/api/tasks?limit=1')
}, 60_000)
