// The S3 driver while the store or the network between fails: every call ends by a deadline, is repeated where that may
// help, and leaves no unfinished upload.
import { afterAll, afterEach, beforeAll, expect, test } from 'bun:test'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLog } from '../../src/log.ts'
import { s3Storage } from '../../src/storage/s3.ts'
import type { CallLimits } from '../../src/storage/s3-calls.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { eventually } from '../support/eventually.ts'
import { startS3Server, type S3Server } from '../support/s3-server.ts'
import { tcpProxy, type TcpProxy } from '../support/tcp-proxy.ts'

const stack = new AsyncDisposableStack()
afterAll(() => stack.disposeAsync())

let server: S3Server
let proxy: TcpProxy
let temporary: string
/** Through the proxy. */
let storage: Storage
/** Past it. */
let direct: Storage

const log = createLog('test', 'silent')
const quick: Partial<CallLimits> = {
  timeoutMs: 3_000,
  minBytesPerSecond: 8 * 1024 * 1024,
  stallTimeoutMs: 2_000,
  backOff: { baseMs: 20, maxMs: 100 },
}

beforeAll(async () => {
  server = stack.use(await startS3Server())
  proxy = stack.use(await tcpProxy({ host: '127.0.0.1', port: server.port }))
  const dir = await mkdtemp(join(tmpdir(), 'tide-s3-faults-'))
  stack.defer(() => rm(dir, { recursive: true, force: true }))
  temporary = join(dir, 'uploads')
  storage = stack.use(s3Storage(server.settings(proxy.port), temporary, log, quick))
  direct = stack.use(s3Storage(server.settings(), temporary, log))
})

afterEach(() => {
  proxy.heal()
  proxy.latencyMs = 0
})

const newKey = (): string => `attachments/2026-11/${Bun.randomUUIDv7()}`
const bytesOf = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text)
const textOf = async (key: string): Promise<string | null> => {
  const found = await direct.get(key)
  return found && new Response(found.body).text()
}

/** The failure of a call as its caller sees it. */
const failure = async (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'no failure',
    (error: unknown) => Reflect.get(Object(error), 'code'),
  )

test('calls into a blackhole end by their deadline with 503, and the first ones after it work', async () => {
  const key = newKey()
  await storage.put(key, bytesOf('kept'))
  proxy.blackhole()
  const startedAt = performance.now()
  const codes = await Promise.all([
    failure(storage.put(newKey(), bytesOf('lost'))),
    failure(storage.get(key)),
    failure(storage.head(key)),
    failure(storage.delete(key)),
    failure(Array.fromAsync(storage.list('attachments/'))),
  ])
  expect(new Set(codes)).toEqual(new Set(['unavailable']))
  // Two tries of 3 s each; the rest is for a busy machine.
  expect(performance.now() - startedAt).toBeLessThan(20_000)
  expect(await storage.health()).toEqual({
    status: 'degraded',
    reason: 'the object store does not answer',
    isTemporary: true,
  })
  proxy.heal()
  const next = newKey()
  await storage.put(next, bytesOf('again'))
  expect([await textOf(key), await textOf(next)]).toEqual(['kept', 'again'])
  expect(await storage.health()).toEqual({ status: 'up' })
})

test('connections that are half-open do not fail the calls after them', async () => {
  const keys = Array.from({ length: 8 }, newKey)
  await Promise.all(keys.map((key) => storage.put(key, bytesOf(key))))
  proxy.blackhole() // every open connection is dead from here on
  proxy.heal()
  const found = await Promise.all(keys.map((key) => storage.head(key)))
  expect(found.map((one) => one?.size)).toEqual(keys.map((key) => key.length))
})

test('calls are repeated after resets, and the object is whole', async () => {
  const key = newKey()
  const size = 9 * 1024 * 1024
  await using file = storage.temporaryFile()
  file.write(new Uint8Array(size).fill(7))
  const before = proxy.accepted
  proxy.latencyMs = 2
  const stored = storage.put(key, file)
  await eventually(() => expect(proxy.accepted).toBeGreaterThan(before))
  proxy.reset()
  await stored
  expect((await direct.head(key))?.size).toBe(size)
})

test('an upload that fails in the middle is aborted, and its temporary file is removed', async () => {
  const key = newKey()
  {
    await using file = storage.temporaryFile()
    file.write(new Uint8Array(18 * 1024 * 1024).fill(1))
    proxy.latencyMs = 5
    const before = proxy.accepted
    const stored = failure(storage.put(key, file))
    await eventually(() => expect(proxy.accepted).toBeGreaterThan(before + 1))
    proxy.blackhole()
    expect(await stored).toBe('unavailable')
  }
  expect(await readdir(temporary)).toEqual([])
  expect(await direct.head(key)).toBeNull()
})

test('a download that stalls fails instead of waiting or ending early', async () => {
  const key = newKey()
  await direct.put(key, new Uint8Array(10 * 1024 * 1024).fill(3))
  proxy.latencyMs = 1
  const { body } = (await storage.get(key))!
  const reader = (body as ReadableStream<Uint8Array>).getReader()
  let received = (await reader.read()).value!.byteLength
  proxy.blackhole()
  const rest = async (): Promise<string> => {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return 'ended'
      received += value.byteLength
    }
  }
  expect(await failure(rest())).toBe('unavailable')
  expect(received).toBeLessThan(10 * 1024 * 1024)
})

test('a store that is killed and started again has what it answered for', async () => {
  const key = newKey()
  await storage.put(key, bytesOf('durable'))
  await server.kill()
  expect(await failure(storage.put(newKey(), bytesOf('x')))).toBe('unavailable')
  await server.start()
  expect(await textOf(key)).toBe('durable')
})

/** A store that answers as the test wants: what the real one cannot be made to do. */
const scripted = async (
  answer: (request: IncomingMessage, count: number) => { status: number; body?: string },
): Promise<{ storage: Storage; requests: string[]; server: Server }> => {
  const requests: string[] = []
  const listener = createServer((request, response) => {
    request.resume()
    request.on('end', () => {
      requests.push(`${request.method} ${request.url}`)
      const { status, body = '' } = answer(request, requests.length)
      response.writeHead(status, { 'Content-Type': 'application/xml', ETag: '"1"' }).end(body)
    })
  })
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  const { port } = listener.address() as { port: number }
  stack.defer(() => void listener.close())
  return {
    storage: stack.use(s3Storage(server.settings(port), temporary, log, quick)),
    requests,
    server: listener,
  }
}

const fault = (code: string): string =>
  `<?xml version="1.0"?><Error><Code>${code}</Code><Message>m</Message></Error>`

test('500, 503 and 429 are repeated, three times at most; 403 and a missing bucket are not', async () => {
  for (const status of [500, 503, 429]) {
    const flaky = await scripted((_, count) =>
      count < 3 ? { status, body: fault('SlowDown') } : { status: 200 },
    )
    await flaky.storage.put(newKey(), bytesOf('x'))
    expect(flaky.requests.length).toBe(3)
    const broken = await scripted(() => ({ status, body: fault('SlowDown') }))
    expect(await failure(broken.storage.put(newKey(), bytesOf('x')))).toBe('unavailable')
    expect(broken.requests.length).toBe(3)
  }
  for (const [status, code] of [
    [403, 'AccessDenied'],
    [404, 'NoSuchBucket'],
  ] as const) {
    const refusing = await scripted(() => ({ status, body: fault(code) }))
    expect(await failure(refusing.storage.put(newKey(), bytesOf('x')))).toBe('unavailable')
    expect(await failure(refusing.storage.get(newKey()))).toBe('unavailable')
    expect(refusing.requests.length).toBe(2)
  }
})

test('unfinished uploads of killed processes are found and aborted, those younger than the limit are not', async () => {
  const uploads = (name: string, at: string): string =>
    `<Upload><Key>attachments/${name}</Key><UploadId>id-${name}</UploadId><Initiated>${at}</Initiated></Upload>`
  const { storage: listing, requests } = await scripted(({ method, url = '' }) => {
    if (method === 'DELETE') return { status: 204 }
    const isSecond = url.includes('key-marker')
    const one = isSecond ? uploads('c', '2026-11-20T00:00:00.000Z') : uploads('a', '2026-11-20T00:00:00.000Z')
    const young = isSecond ? '' : uploads('b', '2026-11-27T00:00:00.000Z')
    const next = isSecond
      ? ''
      : '<NextKeyMarker>attachments/b</NextKeyMarker><NextUploadIdMarker>id-b</NextUploadIdMarker>'
    return {
      status: 200,
      body: `<?xml version="1.0"?><ListMultipartUploadsResult><IsTruncated>${!isSecond}</IsTruncated>${next}${one}${young}</ListMultipartUploadsResult>`,
    }
  })
  expect(await listing.removeInterrupted(new Date('2026-11-26T00:00:00Z'))).toBe(2)
  const aborted = requests.filter((line) => line.startsWith('DELETE'))
  expect(aborted.map((line) => /uploadId=([\w-]+)/.exec(line)![1])).toEqual(['id-a', 'id-c'])
})

test('a completion whose answer was lost counts as done where the object is there', async () => {
  let completions = 0
  const size = 11 * 1024 * 1024
  const { storage: losing, requests } = await scripted(({ method, url = '' }) => {
    if (method === 'POST' && url.includes('uploads'))
      return {
        status: 200,
        body: '<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>',
      }
    if (method === 'POST') {
      completions += 1
      return completions === 1
        ? { status: 500, body: fault('InternalError') }
        : { status: 404, body: fault('NoSuchUpload') }
    }
    return { status: 200 }
  })
  await using file = losing.temporaryFile()
  file.write(new Uint8Array(size))
  // The scripted store has no object of this size: the completion is taken for failed, and the upload is aborted.
  expect(await failure(losing.put(newKey(), file))).not.toBe('no failure')
  expect(requests.some((line) => line.startsWith('HEAD'))).toBe(true)
  expect(requests.at(-1)).toStartWith('DELETE')
})
