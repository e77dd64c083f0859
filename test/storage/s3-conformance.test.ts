// What only the S3 driver does, run against each kind of S3 server: uploads that end in the middle, answers that are lost,
// checksums, and presigned requests. Where a kind cannot do what S3 does, the test asserts what the driver does then.
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import { AbortMultipartUploadCommand, S3Client, UploadPartCommand } from '@aws-sdk/client-s3'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLog } from '../../src/log.ts'
import { s3Storage, type S3Settings } from '../../src/storage/s3.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { s3Kinds, type S3Capabilities, type S3Kind } from '../support/s3-kinds.ts'
import { s3Recorder, type S3Recorder, type S3Request } from '../support/s3-recorder.ts'
import { startS3Server } from '../support/s3-server.ts'

const mebibyte = 1024 * 1024
const newKey = (): string => `attachments/2026-11/${Bun.randomUUIDv7()}`
const hello = new TextEncoder().encode('hello')

const kinds: [S3Kind, S3Capabilities][] = [
  ['fauxqs', s3Kinds.fauxqs],
  ['s3rver', s3Kinds.s3rver],
]

describe.each(kinds)('an S3 server of the kind %s', (kind, can) => {
  const stack = new AsyncDisposableStack()
  afterAll(() => stack.disposeAsync())

  let recorder: S3Recorder
  /** Through the recorder. */
  let storage: Storage
  let settings: S3Settings
  let temporary: string

  beforeAll(async () => {
    const server = stack.use(await startS3Server(kind))
    recorder = stack.use(await s3Recorder(server.port))
    settings = server.settings(recorder.port)
    const dir = await mkdtemp(join(tmpdir(), 'tide-s3-'))
    stack.defer(() => rm(dir, { recursive: true, force: true }))
    temporary = join(dir, 'uploads')
    storage = stack.use(open(settings))
  })

  afterEach(() => {
    recorder.fault = () => undefined
    recorder.requests.length = 0
  })

  const open = (to: S3Settings): Storage =>
    s3Storage(to, temporary, createLog('test', 'silent'), { backOff: { baseMs: 10, maxMs: 20 } })

  const put = async (key: string, bytes: number): Promise<void> => {
    await using file = storage.temporaryFile()
    file.write(new Uint8Array(bytes).fill(7))
    await storage.put(key, file)
  }

  /** The code of the error that the work throws. */
  const failureOf = (work: Promise<unknown>): Promise<unknown> =>
    work.then(
      () => 'no failure',
      (error: unknown) => Reflect.get(Object(error), 'code'),
    )

  const isPart = ({ method, url }: S3Request, number: number): boolean =>
    method === 'PUT' && url.includes(`partNumber=${number}`)
  const isCompletion = ({ method, url }: S3Request): boolean => method === 'POST' && url.includes('uploadId=')
  const uploadIdOf = ({ url }: S3Request): string => new URLSearchParams(url.split('?')[1]).get('uploadId')!

  test('stores a large object in parts of 8 MiB, and repeats one part whose answer was lost', async () => {
    const key = newKey()
    let lost = 0
    recorder.fault = (request) => (isPart(request, 2) && (lost += 1) === 1 ? { lose: 500 } : undefined)
    await put(key, 17 * mebibyte)
    const parts = recorder.requests.filter(({ url }) => url.includes('partNumber='))
    expect(
      parts.map(({ url, headers }) => [
        new URLSearchParams(url.split('?')[1]).get('partNumber'),
        Number(headers['content-length']),
      ]),
    ).toEqual([
      ['1', 8 * mebibyte],
      ['2', 8 * mebibyte],
      ['2', 8 * mebibyte],
      ['3', mebibyte],
    ])
    expect((await storage.head(key))!.size).toBe(17 * mebibyte)
  })

  test('an upload that fails in the middle leaves no object, and is aborted', async () => {
    const key = newKey()
    recorder.fault = (request) => (isPart(request, 2) ? { refuse: 403 } : undefined)
    expect(await failureOf(put(key, 17 * mebibyte))).toBe('unavailable')
    expect(await storage.head(key)).toBeNull()
    expect(await readdir(temporary)).toEqual([])
    const abort = recorder.requests.find(({ method }) => method === 'DELETE')!
    expect(abort.url).toContain('uploadId=')
    if (can.abortsUploads !== true) {
      expect([can.abortsUploads, abort.status]).toEqual([
        { missing: 'answers 405 to DELETE with an upload id' },
        405,
      ])
      return
    }
    expect(abort.status).toBe(204)
    // The store has forgotten the upload: neither a part nor a second abort finds it.
    using client = clientOf(settings)
    const upload = { Bucket: settings.bucket, Key: key, UploadId: uploadIdOf(abort) }
    const sent = [
      client.send(new UploadPartCommand({ ...upload, PartNumber: 1, Body: hello })),
      client.send(new AbortMultipartUploadCommand(upload)),
    ]
    expect(await Promise.all(sent.map(statusOf))).toEqual([404, 404])
  })

  // Neither kind lists unfinished uploads: what the driver does with such a list is in s3-faults.test.ts.
  test('fails in no call where the store cannot list unfinished uploads', async () => {
    expect(await storage.removeInterrupted(new Date(Date.now() + 60_000))).toBe(0)
    const answered = recorder.requests.map(({ url, status }) => [url.includes('uploads'), status])
    expect([can.listsUploads, answered]).toEqual(
      kind === 's3rver'
        ? [{ missing: 'answers 501 to ?uploads' }, [[true, 501]]]
        : [{ missing: 'answers ?uploads with the list of objects' }, [[true, 200]]],
    )
  })

  test('a completion whose answer was lost leaves the object, and counts as done where the store says so', async () => {
    const key = newKey()
    const size = 11 * mebibyte
    let lost = 0
    recorder.fault = (request) => (isCompletion(request) && (lost += 1) === 1 ? { lose: 500 } : undefined)
    const outcome = await failureOf(put(key, size))
    expect((await storage.head(key))!.size).toBe(size)
    if (can.forgetsCompletedUploads === true) expect(outcome).toBe('no failure')
    // "Then the object may exist all the same": its row names it, and is removed together with it.
    else expect(outcome).toBe('unavailable')
  })

  test('sends and asks for no checksums beyond those that S3 requires', async () => {
    const key = newKey()
    await put(key, 5)
    await put(newKey(), 11 * mebibyte)
    await storage.copy(key, newKey(), 5)
    await new Response((await storage.get(key))!.body).text()
    await Array.fromAsync(storage.list('attachments/'))
    await storage.delete(key)
    const names = recorder.requests.flatMap(({ headers, url }) => [
      ...Object.keys(headers),
      ...new URLSearchParams(url.split('?')[1]).keys(),
    ])
    expect(recorder.requests.length).toBeGreaterThanOrEqual(8)
    expect(names.filter((name) => /checksum|trailer|sdk-checksum/i.test(name))).toEqual([])
    expect(recorder.requests.filter(({ headers }) => 'content-encoding' in headers)).toEqual([])
    const hashed = recorder.requests.map(({ headers }) => String(headers['x-amz-content-sha256']))
    expect(hashed.filter((hash) => hash.startsWith('STREAMING'))).toEqual([])
  })

  test('a key that is missing is absent to every call, and a bucket that is missing is a fault', async () => {
    const key = newKey()
    expect([await storage.head(key), await storage.get(key), await storage.copy(key, newKey(), 1)]).toEqual([
      null,
      null,
      false,
    ])
    await storage.delete(key)
    await using other = open({ ...settings, bucket: 'another-bucket' })
    expect(await failureOf(other.get(key))).toBe('unavailable')
    expect(await failureOf(other.put(key, hello))).toBe('unavailable')
    expect(await other.health()).toEqual({
      status: 'degraded',
      reason: 'S3_BUCKET names a bucket that does not exist: create it, or correct the name',
      isTemporary: false,
    })
  })

  test('a presigned PUT stores the object, and no other key, type, length or hour', async () => {
    const [key, elsewhere] = [newKey(), newKey()]
    const options = { size: 5, contentType: 'text/plain', expiresInSeconds: 60 }
    const { url, method, headers } = (await storage.presignPut(key, options))!
    const send = async (to: string, body: string, type = headers['Content-Type']): Promise<number> =>
      (await fetch(to, { method, headers: { 'Content-Type': type }, body })).status
    const expired = new URL(url)
    expired.searchParams.set('X-Amz-Date', '20260101T000000Z')
    const tampered = {
      key: send(url.replace(key, elsewhere), 'hello'),
      type: send(url, 'hello', 'text/html'),
      length: send(url, 'hello, hello'),
      expired: send(expired.href, 'hello'),
    }
    const statuses = await Promise.all(Object.values(tampered))
    if (can.checksSignatures === true) {
      expect(statuses).toEqual([403, 403, 403, 403])
      expect([await storage.head(key), await storage.head(elsewhere)]).toEqual([null, null])
    } else
      expect([can.checksSignatures, statuses]).toEqual([
        { missing: 'reads no signature' },
        [200, 200, 200, 200],
      ])
    expect(await send(url, 'hello')).toBe(200)
    expect(await send(url, 'hello')).toBe(200) // the same request again, after a lost answer
    expect((await storage.head(key))!.size).toBe(5)
  })

  test('a request with another secret is refused where signatures are read', async () => {
    const key = newKey()
    await storage.put(key, hello)
    await using stranger = open({ ...settings, secretAccessKey: 'another-secret-of-the-test' })
    const outcome = await failureOf(stranger.get(key))
    expect(outcome).toBe(can.checksSignatures === true ? 'unavailable' : 'no failure')
  })
})

/** The SDK's own client, for what the driver never sends. */
const clientOf = ({ endpoint, region, accessKeyId, secretAccessKey }: S3Settings): S3Client & Disposable => {
  const client = new S3Client({
    endpoint: endpoint!,
    region,
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
    requestChecksumCalculation: 'WHEN_REQUIRED',
    maxAttempts: 1,
  })
  return Object.assign(client, { [Symbol.dispose]: () => client.destroy() })
}

const statusOf = (sent: Promise<unknown>): Promise<unknown> =>
  sent.then(
    () => 200,
    (error: unknown) => Reflect.get(Object(Reflect.get(Object(error), '$metadata')), 'httpStatusCode'),
  )
