// What every driver of the storage does, run against each: a folder on disk and an S3 server.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLog } from '../../src/log.ts'
import { diskStorage } from '../../src/storage/disk.ts'
import { s3Storage } from '../../src/storage/s3.ts'
import type { ObjectInfo, Storage } from '../../src/storage/storage.ts'
import { startS3Server } from '../support/s3-server.ts'

const stack = new AsyncDisposableStack()
afterAll(() => stack.disposeAsync())

const folder = async (): Promise<string> => {
  const path = await mkdtemp(join(tmpdir(), 'tide-storage-'))
  stack.defer(() => rm(path, { recursive: true, force: true }))
  return path
}

interface Driver {
  name: string
  kind: Storage['kind']
  open(): Promise<{ storage: Storage; temporary: string }>
}

const drivers: Driver[] = [
  {
    name: 'disk',
    kind: 'disk',
    async open() {
      const root = await folder()
      return { storage: stack.use(diskStorage(root)), temporary: join(root, '.tmp') }
    },
  },
  ...(['fauxqs', 's3rver'] as const).map((kind): Driver => ({
    name: `s3 (${kind})`,
    kind: 's3',
    async open() {
      const server = stack.use(await startS3Server(kind))
      const temporary = join(await folder(), 'uploads')
      const log = createLog('test', 'silent')
      return { storage: stack.use(s3Storage(server.settings(), temporary, log, { pageSize: 10 })), temporary }
    },
  })),
]

const bytesOf = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text)
const newKey = (folder = 'attachments/2026-11'): string => `${folder}/${Bun.randomUUIDv7()}`

const listed = async (storage: Storage, prefix: string): Promise<ObjectInfo[]> => {
  const all: ObjectInfo[] = []
  for await (const one of storage.list(prefix)) all.push(one)
  return all.toSorted((a, b) => (a.key < b.key ? -1 : 1))
}

const textOf = async (storage: Storage, key: string, range?: { start: number; end: number }) => {
  const found = await storage.get(key, range)
  if (!found) return null
  const text = await new Response(found.body).text()
  expect(text.length).toBe(found.size)
  return text
}

/** Bytes that differ everywhere, so that a swapped part shows. */
const pattern = (size: number): Uint8Array<ArrayBuffer> => {
  const bytes = new Uint8Array(size)
  new Uint32Array(bytes.buffer, 0, size >> 2).forEach((_, index, all) => (all[index] = index * 2_654_435_761))
  return bytes
}

for (const driver of drivers) {
  const { name, kind } = driver
  describe(`the ${name} driver`, () => {
    let storage: Storage
    let temporary: string
    beforeAll(async () => {
      ;({ storage, temporary } = await driver.open())
    })

    const put = async (key: string, chunks: Uint8Array[]): Promise<void> => {
      await using file = storage.temporaryFile()
      for (const chunk of chunks) file.write(chunk)
      await storage.put(key, file)
    }

    test('names its kind, and stores what it is given: bytes or a file', async () => {
      expect(storage.kind).toBe(kind)
      const [first, second] = [newKey(), newKey()]
      await storage.put(first, bytesOf('hello'))
      await put(second, [bytesOf('hel'), bytesOf('lo again')])
      expect(await textOf(storage, first)).toBe('hello')
      expect(await textOf(storage, second)).toBe('hello again')
      expect(await readdir(temporary)).toEqual([])
    })

    test('reads ranges', async () => {
      const key = newKey()
      await storage.put(key, bytesOf('0123456789'))
      expect(await textOf(storage, key, { start: 0, end: 1 })).toBe('0')
      expect(await textOf(storage, key, { start: 3, end: 7 })).toBe('3456')
      expect(await textOf(storage, key, { start: 9, end: 10 })).toBe('9')
      expect(await textOf(storage, key, { start: 0, end: 10 })).toBe('0123456789')
    })

    test('describes an object, and answers null for one that is not there', async () => {
      const key = newKey()
      const before = Date.now() - 2_000
      await storage.put(key, bytesOf('12345'))
      const found = await storage.head(key)
      expect(found).toMatchObject({ key, size: 5 })
      expect(found!.modifiedAt.getTime()).toBeGreaterThan(before)
      const absent = newKey()
      expect([await storage.head(absent), await storage.get(absent)]).toEqual([null, null])
      expect(await storage.get(absent, { start: 0, end: 1 })).toBeNull()
    })

    test('replaces an object that is stored again', async () => {
      const key = newKey()
      await storage.put(key, bytesOf('one'))
      await put(key, [bytesOf('second')])
      expect(await textOf(storage, key)).toBe('second')
    })

    test('copies an object, which then changes no more with the first one', async () => {
      const [from, to] = [newKey(), newKey('attachments/2026-12')]
      await storage.put(from, bytesOf('first'))
      expect(await storage.copy(from, to, 5)).toBe(true)
      await storage.put(from, bytesOf('other'))
      expect(await textOf(storage, to)).toBe('first')
      expect(await storage.copy(from, to, 5)).toBe(true)
      await storage.delete(from)
      expect(await textOf(storage, to)).toBe('other')
      const none = newKey()
      expect(await storage.copy(from, none, 5)).toBe(false)
      expect(await storage.head(none)).toBeNull()
      // The folder is made with the first file in it; the S3 driver needs none to copy.
      expect(existsSync(temporary) ? await readdir(temporary) : []).toEqual([])
    })

    test('copies an object of many parts, byte for byte', async () => {
      const [from, to] = [newKey(), newKey()]
      const whole = pattern(11 * 1024 * 1024 + 3)
      await put(from, [whole])
      expect(await storage.copy(from, to, whole.byteLength)).toBe(true)
      const { body, size } = (await storage.get(to))!
      const bytes = await new Response(body).bytes()
      expect([size, bytes.byteLength, Buffer.compare(bytes, whole)]).toEqual([
        whole.byteLength,
        whole.byteLength,
        0,
      ])
    })

    test('deletes an object, and does nothing where there is none', async () => {
      const key = newKey()
      await storage.put(key, bytesOf('gone'))
      await storage.delete(key)
      await storage.delete(key)
      expect(await storage.get(key)).toBeNull()
      expect((await listed(storage, 'attachments/')).map((one) => one.key)).not.toContain(key)
    })

    test('lists a prefix with sizes and times, and nothing beside it', async () => {
      const prefix = `a-${crypto.randomUUID()}`
      const keys = [`${prefix}/x/1`, `${prefix}/x/2`, `${prefix}/y/1`].toSorted()
      const beside = `${prefix}-beside/1`
      await Promise.all([...keys, beside].map((key) => storage.put(key, bytesOf(key))))
      const found = await listed(storage, `${prefix}/`)
      expect(found.map(({ key, size }) => [key, size])).toEqual(keys.map((key) => [key, key.length]))
      expect(found.every(({ modifiedAt }) => Math.abs(Date.now() - modifiedAt.getTime()) < 60_000)).toBe(true)
      expect((await listed(storage, `${prefix}/x/`)).length).toBe(2)
      expect(await listed(storage, `${prefix}/nothing/`)).toEqual([])
    })

    test('lists more objects than a page of the store holds', async () => {
      const prefix = `many-${crypto.randomUUID()}`
      const keys = Array.from({ length: 45 }, (_, index) => `${prefix}/${index}`)
      await Promise.all(keys.map((key) => storage.put(key, bytesOf('x'))))
      expect((await listed(storage, `${prefix}/`)).length).toBe(45)
    })

    test('stores and reads an object of many parts, byte for byte', async () => {
      const key = newKey()
      const whole = pattern(21 * 1024 * 1024 + 12)
      const chunks = Array.from({ length: 170 }, (_, index) =>
        whole.subarray(index * 131_072, (index + 1) * 131_072),
      )
      await put(key, chunks)
      const hashOf = (bytes: Uint8Array): string => new Bun.CryptoHasher('sha256').update(bytes).digest('hex')
      const hash = new Bun.CryptoHasher('sha256')
      const { body, size } = (await storage.get(key))!
      for await (const chunk of body instanceof Blob ? body.stream() : body) hash.update(chunk)
      expect([size, hash.digest('hex')]).toEqual([whole.byteLength, hashOf(whole)])
      const range = { start: 8 * 1024 * 1024 - 5, end: 8 * 1024 * 1024 + 5 }
      const part = await new Response((await storage.get(key, range))!.body).bytes()
      expect(part).toEqual(whole.slice(range.start, range.end))
    })

    test('stores objects at the same time, each whole', async () => {
      const keys = Array.from({ length: 30 }, () => newKey())
      await Promise.all(keys.map((key) => put(key, [bytesOf(key), bytesOf('!')])))
      const texts = await Promise.all(keys.map((key) => textOf(storage, key)))
      expect(texts).toEqual(keys.map((key) => `${key}!`))
    })

    test('a file that is not stored leaves nothing', async () => {
      const before = (await listed(storage, 'attachments/')).length
      {
        await using file = storage.temporaryFile()
        file.write(bytesOf('abandoned'))
        expect(await readdir(temporary)).toHaveLength(1)
      }
      expect(await readdir(temporary)).toEqual([])
      expect((await listed(storage, 'attachments/')).length).toBe(before)
    })

    test('removes what a killed process left on its way, and nothing younger', async () => {
      await Bun.write(join(temporary, crypto.randomUUID()), 'left behind')
      expect(await storage.removeInterrupted(new Date(Date.now() - 60_000))).toBe(0)
      expect(await readdir(temporary)).toHaveLength(1)
      expect(await storage.removeInterrupted(new Date(Date.now() + 1_000))).toBe(1)
      expect(await readdir(temporary)).toEqual([])
    })

    test('takes no key that leads elsewhere', async () => {
      for (const key of [
        '../x',
        'a/../b',
        '/a/b',
        'a//b',
        'a',
        '.tmp/x',
        'a/B',
        'a/ü',
        'a/b.c',
        'a/\0',
        `a/${'b'.repeat(300)}`,
      ]) {
        expect(storage.put(key, bytesOf('x'))).rejects.toThrow('malformed')
        expect(storage.get(key)).rejects.toThrow('malformed')
        expect(storage.delete(key)).rejects.toThrow('malformed')
      }
    })

    test('reads a temporary file before it is stored', async () => {
      await using file = storage.temporaryFile()
      file.write(bytesOf('0123'))
      file.write(bytesOf('456789'))
      const text = async (start: number, length: number) =>
        new TextDecoder().decode(await file.read(start, length))
      expect([file.size, await text(0, 4), await text(2, 5), await text(8, 10), await text(20, 1)]).toEqual([
        10,
        '0123',
        '23456',
        '89',
        '',
      ])
    })

    test('is healthy', async () => {
      expect(await storage.health()).toEqual({ status: 'up' })
    })

    test('offers direct uploads where it can', async () => {
      const key = newKey()
      const options = { size: 5, contentType: 'text/plain', expiresInSeconds: 60 }
      const presigned = await storage.presignPut(key, options)
      if (kind === 'disk') {
        expect(presigned).toBeNull()
        return
      }
      const { url, method, headers } = presigned!
      expect(new URL(url).searchParams.get('X-Amz-SignedHeaders')).toBe('content-length;content-type;host')
      expect((await fetch(url, { method, headers, body: 'hello' })).status).toBe(200)
      expect(await textOf(storage, key)).toBe('hello')
    })
  })
}
