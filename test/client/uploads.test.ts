// Files by the client: progress and abort, repeats without a second effect, downloads and parts of them, and uploads past
// the server; in Bun here, in Node and a browser by the tests of runtimes.
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test'
import { createClient, type Client } from '../../packages/client/src/client.ts'
import type { Fetch } from '../../packages/client/src/http/request.ts'
import { Sha256, sha256Of } from '../../packages/client/src/http/sha256.ts'
import { openWorker } from '../../src/app/compose-worker.ts'
import { createLog } from '../../src/log.ts'
import { eventually } from '../support/eventually.ts'
import { startS3Server } from '../support/s3-server.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { quick } from './scripted.ts'

const stack = new AsyncDisposableStack()
afterAll(() => stack.disposeAsync(), 30_000)
let world: World
let ada: Person
let taskId: string

beforeEach(async () => {
  taskId = (await world.ask(ada, 'POST', '/api/tasks', { title: 'Files' })).id
})

beforeAll(async () => {
  const s3 = stack.use(await startS3Server())
  world = stack.use(await startWorld(s3.config()))
  stack.use(await openWorker(world.config, createLog('worker', 'silent')))
  ada = await world.register()
}, 60_000)

const clientOf = async (fetch?: Fetch): Promise<Client> => {
  const client = createClient({
    url: world.url,
    timing: { ...quick, requestMs: 15_000 },
    ...(fetch && { fetch }),
  })
  await client.session.adopt(ada.session)
  return client
}

const text = (size: number): File => new File(['a'.repeat(size)], 'long.txt', { type: 'text/plain' })

test('progress rises to the size of the file, and the file arrives', async () => {
  using client = await clientOf()
  const file = text(3_000_000)
  const seen: number[] = []
  const made = await client.attachments.upload(taskId, file, {
    onProgress: ({ sent, total }) => {
      expect(total).toBe(file.size)
      seen.push(sent)
    },
  })
  expect([made.filename, made.size]).toEqual(['long.txt', file.size])
  expect(seen.length).toBeGreaterThan(2)
  expect([seen[0], seen.at(-1), seen]).toEqual([0, file.size, seen.toSorted((a, b) => a - b)])
  expect((await client.attachments.download(made.id)).size).toBe(file.size)
  const part = await client.attachments.download(made.id, { start: 2_999_998 })
  expect(await part.text()).toBe('aa')
  expect(await (await client.attachments.download(made.id, { start: 1, end: 3 })).text()).toBe('aa')
  await client.attachments.delete(made.id)
})

test('an upload that is aborted ends with the reason and attaches nothing', async () => {
  using client = await clientOf()
  const stop = new AbortController()
  const reason = new Error('the user changed their mind')
  const upload = client.attachments.upload(taskId, text(9_000_000), {
    signal: stop.signal,
    onProgress: ({ sent }) => {
      if (sent > 0) stop.abort(reason)
    },
  })
  expect(await upload.catch((error: unknown) => error)).toBe(reason)
  expect(await client.attachments.list(taskId).all()).toEqual([])
})

test('an upload whose answer is lost is repeated and attached once', async () => {
  let lost = 0
  using client = await clientOf(async (url, init) => {
    const response = await fetch(url, init)
    if (init.method !== 'POST' || lost > 0) return response
    lost += 1
    throw new TypeError('the answer never came')
  })
  const made = await client.attachments.upload(taskId, text(10), { onProgress: () => {} })
  expect(lost).toBe(1)
  expect(await client.attachments.list(taskId).all()).toEqual([made])
  await client.attachments.delete(made.id)
})

test('a refusal is an error with its code', async () => {
  using client = await clientOf()
  const page = new File(['<!doctype html>'], 'page.html')
  const refused = await client.attachments.upload(taskId, page).catch((error: unknown) => error)
  expect(refused).toMatchObject({ status: 415, code: 'unsupported_type' })
})

test('a file goes past the server and is attached once it is verified', async () => {
  const urls: string[] = []
  using client = await clientOf((url, init) => {
    urls.push(`${init.method} ${new URL(url).origin === world.url ? 'server' : 'store'}`)
    return fetch(url, init)
  })
  const seen: number[] = []
  const file = text(4_000_000)
  const begun = await client.attachments.uploadDirectly(taskId, file, {
    onProgress: ({ sent }) => seen.push(sent),
  })
  expect(urls).toEqual(['POST server', 'PUT store', 'POST server'])
  expect(seen.at(-1)).toBe(file.size)
  await eventually(async () =>
    expect(await client.attachments.list(taskId).all()).toMatchObject([{ id: begun.id, size: file.size }]),
  )
})

test('the hash is SHA-256, for every length around its blocks', async () => {
  for (const length of [0, 1, 3, 55, 56, 57, 63, 64, 65, 119, 120, 128, 1_000, 100_003]) {
    const bytes = crypto.getRandomValues(new Uint8Array(Math.min(length, 65_536)))
    const whole = new Uint8Array(length).map((_, index) => bytes[index % bytes.length]!)
    const expected = new Bun.CryptoHasher('sha256').update(whole).digest('hex')
    const pieces = new Sha256()
    for (let at = 0; at < length; at += 37) pieces.update(whole.subarray(at, at + 37))
    expect([length, pieces.digest(), await sha256Of(new Blob([whole]))]).toEqual([length, expected, expected])
  }
})
