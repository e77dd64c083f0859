// Files on their way to a store with TLS, as those of real providers: what the process that sends them holds.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { tlsFolder } from '../start/parts.ts'

const stack = new AsyncDisposableStack()
afterAll(() => stack.disposeAsync())

const mebibyte = 1024 * 1024
const certificate = join(tlsFolder, 'certificate.pem')

/** Bytes of each body, by `PUT` of an object or of a part. */
const stored: number[] = []
let endpoint: string
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tide-s3-tls-'))
  stack.defer(() => rm(folder, { recursive: true, force: true }))
  // What an S3 store answers, and it counts what it takes: the S3 server of the tests has no TLS.
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    tls: { cert: Bun.file(certificate), key: Bun.file(join(tlsFolder, 'key.pem')) },
    async fetch({ method, body, headers }) {
      if (method === 'POST')
        return new Response('<Result><UploadId>upload</UploadId><ETag>"whole"</ETag></Result>')
      let length = 0
      for await (const piece of body!) length += piece.byteLength
      if (length !== Number(headers.get('content-length'))) return new Response(null, { status: 400 })
      stored.push(length)
      return new Response(null, { headers: { ETag: '"part"' } })
    },
  })
  stack.defer(() => server.stop(true))
  endpoint = `https://localhost:${server.port}`
})

/** @returns by how many bytes the memory of the process grew. */
const storeAtOnce = async (count: number, megabytes: number): Promise<number> => {
  stored.length = 0
  await using child = Bun.spawn(
    [
      process.execPath,
      join(import.meta.dir, 's3-puts.ts'),
      endpoint,
      folder,
      String(count),
      String(megabytes),
    ],
    { env: { ...process.env, NODE_EXTRA_CA_CERTS: certificate }, stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const output = await new Response(child.stdout).text()
  expect(await child.exited).toBe(0)
  return Number(output)
}

test('50 objects in one piece each take at most 64 MiB', async () => {
  const grown = await storeAtOnce(50, 10)
  expect(stored).toEqual(Array(51).fill(10_000_000))
  expect(grown / mebibyte).toBeLessThanOrEqual(64)
}, 60_000)

test('so do 20 objects in parts', async () => {
  const grown = await storeAtOnce(20, 18)
  expect(stored.reduce((sum, bytes) => sum + bytes, 0)).toBe(21 * 18_000_000)
  expect(stored.length).toBe(21 * 3)
  expect(grown / mebibyte).toBeLessThanOrEqual(64)
}, 60_000)
