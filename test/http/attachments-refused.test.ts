// Uploads that are refused: each has its code, and leaves no row, no object, no temporary file and no entry behind.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import { readdir } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import type { Attachment } from '../../src/model/attachment.ts'
import { eventually } from '../support/eventually.ts'
import { compoundFile, formOf, png, sendForm, upload, zipOf } from '../support/uploads.ts'
import { startWorld, type Person, type World } from '../support/world.ts'

interface Problem {
  code: string
  detail: string
  errors?: { pointer: string; detail: string }[]
}

let world: World
let owner: Person
let taskId: string

beforeAll(async () => {
  world = await startWorld()
  owner = await world.register()
  taskId = (await world.ask(owner, 'POST', '/api/tasks', { title: 'Files' })).id
})
afterAll(() => world[Symbol.asyncDispose]())

const filesIn = async (): Promise<string[]> => {
  const names = await readdir(join(world.config.dataDir, 'files'), {
    recursive: true,
    withFileTypes: true,
  }).catch(() => [])
  return names
    .filter((entry) => entry.isFile())
    .map(({ name }) => name)
    .filter((name) => name !== '.store')
}
const rowCount = async (): Promise<number> =>
  (await world.server.deps.db.read((sql) => sql`select from attachments`)).length

/** Of the test: what it may not change. */
let before: { files: number; rows: number; entries: number }
const count = async () => ({
  files: (await filesIn()).length,
  rows: await rowCount(),
  entries: await world.entryCount(),
})
beforeEach(async () => {
  before = await count()
})
const nothingLeft = () => eventually(async () => expect(await count()).toEqual(before))

const send = async (content: Uint8Array<ArrayBuffer> | string, name: string, type = '') =>
  sendForm<Problem>({ url: world.url, token: owner.token, taskId }, formOf(name, content, type))

/** A body as written here. */
const raw = (body: string | Uint8Array<ArrayBuffer>, contentType = 'multipart/form-data; boundary=b') =>
  sendForm<Problem>(
    { url: world.url, token: owner.token, taskId, headers: { 'Content-Type': contentType } },
    body,
  )

const part = (disposition: string, content = 'text'): string =>
  `--b\r\nContent-Disposition: ${disposition}\r\n\r\n${content}\r\n`
const file = part('form-data; name="file"; filename="a.txt"')

describe('content that is not allowed', () => {
  afterEach(nothingLeft)

  const cases: [string, Uint8Array<ArrayBuffer> | string, string, string][] = [
    ['HTML dressed as an image', '<!DOCTYPE html><script>alert(1)</script>', 'cat.png', 'image/png'],
    ['HTML without a doctype', '  \n<HTML><body>x', 'page.txt', 'text/plain'],
    [
      'HTML behind a comment and a byte order mark',
      '\ufeff<!-- x -->\n<script src=x></script>',
      'a.md',
      'text/markdown',
    ],
    ['HTML that begins with another tag', '<img src=x onerror=alert(1)>', 'cat.jpg', 'image/jpeg'],
    [
      'SVG dressed as an image',
      '<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
      'cat.png',
      'image/png',
    ],
    [
      'SVG with a prolog',
      '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
      'cat.svg',
      'image/svg+xml',
    ],
    ['a program', Uint8Array.from(Buffer.from('7f454c46020101000000', 'hex')), 'notes.txt', 'text/plain'],
    [
      'bytes of nothing known',
      Uint8Array.from(Buffer.from('0001020304050607', 'hex')),
      'photo.png',
      'image/png',
    ],
    ['a text with a NUL', 'before\0after', 'notes.txt', 'text/plain'],
    [
      'an archive with the name of a document whose parts are missing',
      zipOf({ '[Content_Types].xml': '<x/>' }),
      'plan.docx',
      '',
    ],
    [
      'a document with macros',
      zipOf({ '[Content_Types].xml': '', 'word/document.xml': '', 'word/vbaProject.bin': '' }),
      'plan.docx',
      '',
    ],
    ['an old document with macros', compoundFile('WordDocument', 'Macros', 'VBA'), 'plan.doc', ''],
    ['an installer', compoundFile('Property', 'Icon'), 'plan.doc', ''],
    ['a Java archive', zipOf({ 'META-INF/MANIFEST.MF': '', 'A.class': '' }), 'files.zip', 'application/zip'],
    ['a book', zipOf({ mimetype: 'application/epub+zip', 'a.xhtml': '' }), 'files.zip', 'application/zip'],
    [
      'a ZIP that is cut off',
      zipOf({ 'a.txt': 'a'.repeat(100) }).slice(0, 120),
      'files.zip',
      'application/zip',
    ],
    [
      'an image of another kind',
      Uint8Array.from(Buffer.from('49492a0008000000', 'hex')),
      'scan.png',
      'image/png',
    ],
    ['RTF', String.raw`{\rtf1 text}`, 'letter.txt', 'text/plain'],
  ]
  for (const [what, content, name, type] of cases) {
    test(`${what} is 415 unsupported_type`, async () => {
      const { status, body } = await send(content, name, type)
      expect([status, body.code]).toEqual([415, 'unsupported_type'])
    })
  }
})

describe('content that is neutralised', () => {
  test('text that looks like the start of an image is text; an archive is one whatever its name', async () => {
    const disguised = await send('GIF89a=1;alert(1)', 'cat.gif', 'image/gif')
    expect(disguised.body).toMatchObject({ contentType: 'text/plain' })
    const archive = await send(zipOf({ 'a.txt': 'a' }), 'plan.docx')
    expect(archive.body).toMatchObject({ contentType: 'application/zip' })
    const polyglot = new Uint8Array([...png, ...new TextEncoder().encode('<script>alert(1)</script>')])
    const image = (await send(polyglot, 'page.html', 'text/html')).body as unknown as Attachment
    expect(image.contentType).toBe('image/png')
    const { headers } = await fetch(`${world.url}/api/attachments/${image.id}`, {
      headers: { Authorization: `Bearer ${owner.token}` },
    })
    expect([
      headers.get('content-type'),
      headers.get('x-content-type-options'),
      headers.get('content-disposition'),
    ]).toEqual(['image/png', 'nosniff', `attachment; filename="page.html"; filename*=UTF-8''page.html`])
    for (const { id } of (await world.ask(owner, 'GET', `/api/tasks/${taskId}/attachments`)).items)
      await world.ask(owner, 'DELETE', `/api/attachments/${id}`)
  })

  test('names are shown without folders, controls and marks of direction, and cut at 255 characters', async () => {
    const cases: [string, string][] = [
      ['../../etc/passwd', 'passwd'],
      [String.raw`C:\Users\me\plan.txt`, 'plan.txt'],
      ['..', 'file'],
      ['.', 'file'],
      ['a\r\nSet-Cookie: x=1.txt', 'aSet-Cookie: x=1.txt'],
      ['invoice\u202egpj.txt', 'invoicegpj.txt'],
      ['\u2066a\u2069\u200f.txt', 'a.txt'],
      ['tab\there\0.txt', 'tabhere.txt'],
      ['   ', 'file'],
      ['\u200b', 'file'],
      ['e\u0301.txt', 'é.txt'],
      ['name. . ', 'name'],
      ['quote".txt', 'quote".txt'],
      ['👩‍👩‍👧.txt', '👩‍👩‍👧.txt'],
      [`${'n'.repeat(300)}.txt`, `${'n'.repeat(251)}.txt`],
      ['ü'.repeat(300), 'ü'.repeat(255)],
    ]
    for (const [given, shown] of cases) {
      const { status, body } = await upload({ url: world.url, token: owner.token, taskId, name: given })
      expect([given, status, body.filename]).toEqual([given, 201, shown])
      const { headers } = await fetch(`${world.url}/api/attachments/${body.id}`, {
        headers: { Authorization: `Bearer ${owner.token}` },
      })
      const [, encoded] = /filename\*=UTF-8''(.*)$/.exec(headers.get('content-disposition')!)!
      expect(decodeURIComponent(encoded!)).toBe(shown)
      await world.ask(owner, 'DELETE', `/api/attachments/${body.id}`)
    }
  }, 60_000)
})

describe('a body that is not one file', () => {
  afterEach(nothingLeft)

  const cases: [string, string, number, string, string?][] = [
    ['without a part', '--b--\r\n', 422, 'validation_failed', '/file'],
    ['with two files', `${file}${file}--b--\r\n`, 422, 'validation_failed', '/file'],
    [
      'with a field before the file',
      `${part('form-data; name="title"')}${file}--b--\r\n`,
      422,
      'validation_failed',
      '/title',
    ],
    [
      'with a field after the file',
      `${file}${part('form-data; name="a/b"')}--b--\r\n`,
      422,
      'validation_failed',
      '/a~1b',
    ],
    [
      'with another file',
      `${part('form-data; name="image"; filename="a.txt"')}--b--\r\n`,
      422,
      'validation_failed',
      '/image',
    ],
    [
      'with a field in place of the file',
      `${part('form-data; name="file"')}--b--\r\n`,
      422,
      'validation_failed',
      '/file',
    ],
    [
      'with an empty file',
      `${part('form-data; name="file"; filename="a.txt"', '')}--b--\r\n`,
      422,
      'validation_failed',
      '/file',
    ],
    ['of another boundary', file.replaceAll('--b', '--c') + '--c--\r\n', 400, 'bad_request'],
    ['without its last boundary', file, 400, 'bad_request'],
    ['that ends inside the content', file.slice(0, -6), 400, 'bad_request'],
    ['that ends inside the headers', '--b\r\nContent-Disposition: form', 400, 'bad_request'],
    ['that is empty', '', 400, 'bad_request'],
    ['of something else', '{"file":"x"}', 400, 'bad_request'],
    ['with a part without a name', `${part('form-data; filename="a.txt"')}--b--\r\n`, 400, 'bad_request'],
    [
      'with a part without a disposition',
      '--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n',
      400,
      'bad_request',
    ],
    ['with a part without headers', '--b\r\n\r\nx\r\n--b--\r\n', 400, 'bad_request'],
    ['with a malformed header', '--b\r\nContent Disposition\r\n\r\nx\r\n--b--\r\n', 400, 'bad_request'],
    ['with endless headers', `--b\r\n${'X: y\r\n'.repeat(5_000)}\r\nx\r\n--b--\r\n`, 400, 'bad_request'],
    ['that goes on after its end', `${file}--b--\r\n${'x'.repeat(10_000)}`, 400, 'bad_request'],
    [
      'in base64',
      '--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\nContent-Transfer-Encoding: base64\r\n\r\neA==\r\n--b--\r\n',
      400,
      'bad_request',
    ],
  ]
  for (const [what, body, status, code, pointer] of cases) {
    test(`${what} is ${status} ${code}`, async () => {
      const answer = await raw(body)
      expect([answer.status, answer.body.code, answer.body.errors?.[0]?.pointer]).toEqual([
        status,
        code,
        pointer,
      ])
      expect(answer.headers.get('content-type')).toBe('application/problem+json')
    })
  }

  test('or no multipart at all is 415, without a boundary 400', async () => {
    for (const type of [
      'application/json',
      'text/plain',
      'application/x-www-form-urlencoded',
      'multipart/mixed; boundary=b',
    ])
      expect([type, (await raw(`${file}--b--\r\n`, type)).body.code]).toEqual([
        type,
        'unsupported_media_type',
      ])
    for (const type of [
      'multipart/form-data',
      'multipart/form-data; boundary=',
      `multipart/form-data; boundary=${'x'.repeat(71)}`,
    ])
      expect([type, (await raw(`${file}--b--\r\n`, type)).body.code]).toEqual([type, 'bad_request'])
    const compressed = await sendForm<Problem>(
      {
        url: world.url,
        token: owner.token,
        taskId,
        headers: { 'Content-Type': 'multipart/form-data; boundary=b', 'Content-Encoding': 'gzip' },
      },
      Uint8Array.from(Bun.gzipSync(`${file}--b--\r\n`)),
    )
    expect(compressed.body.code).toBe('unsupported_media_type')
  })

  test('whose connection ends in the middle leaves nothing', async () => {
    const { port, hostname } = new URL(world.url)
    const socket = connect(Number(port), hostname)
    socket.write(
      `POST /api/tasks/${taskId}/attachments HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${owner.token}\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000000\r\n\r\n${file.slice(0, -4)}${'x'.repeat(300_000)}`,
    )
    await eventually(async () => expect((await filesIn()).length).toBe(before.files + 1))
    socket.destroy()
  })
})

describe('too much', () => {
  afterEach(nothingLeft)

  test('more than 10 MiB is 413 file_too_large, declared, undeclared, and far beyond', async () => {
    for (const size of [10 * 1024 * 1024 + 1, 11 * 1024 * 1024, 40 * 1024 * 1024]) {
      const { status, body } = await send(new Uint8Array(size).fill(0x61), 'long.txt')
      expect([size, status, body.code]).toEqual([size, 413, 'file_too_large'])
    }
    const pieces = new ReadableStream({
      start(controller) {
        controller.enqueue(
          new TextEncoder().encode(
            '--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n',
          ),
        )
        for (let n = 0; n < 11; n += 1) controller.enqueue(new Uint8Array(1024 * 1024).fill(0x61))
        controller.enqueue(new TextEncoder().encode('\r\n--b--\r\n'))
        controller.close()
      },
    })
    const undeclared = await sendForm<Problem>(
      {
        url: world.url,
        token: owner.token,
        taskId,
        headers: { 'Content-Type': 'multipart/form-data; boundary=b' },
      },
      pieces,
    )
    expect([undeclared.status, undeclared.body.code]).toEqual([413, 'file_too_large'])
  })
})

describe('the quota of 1 GiB', () => {
  test('is never exceeded by uploads at the same moment, and what is refused leaves nothing', async () => {
    const person = await world.register()
    const task = (await world.ask(person, 'POST', '/api/tasks', { title: 'Full' })).id
    const size = 1_000_000
    const left = 7
    // Rows of what the person has stored already; no objects are needed for the sum.
    await world.server.deps.db.transact(
      (tx) => tx`
        insert into attachments (id, task_id, uploader_id, state, storage_key, filename, content_type, size, sha256)
        values (gen_random_uuid(), ${task}, ${person.id}, 'ready', 'attachments/test/one', 'x', 'text/plain', 1, sha256('x'::bytea)),
          (gen_random_uuid(), ${task}, ${person.id}, 'ready', 'attachments/test/rest', 'x', 'text/plain',
            ${1024 ** 3 - 1 - left * size}, sha256('x'::bytea))`,
    )
    const content = 'q'.repeat(size)
    const answers = await Promise.all(
      Array.from({ length: 50 }, () =>
        upload<Problem>({ url: world.url, token: person.token, taskId: task, content }),
      ),
    )
    const byStatus = Map.groupBy(answers, ({ status }) => status)
    const counts = [...byStatus].map(([status, { length }]) => [status, length])
    expect(Object.fromEntries(counts)).toEqual({ 201: left, 413: 50 - left })
    expect(new Set(byStatus.get(413)!.map(({ body }) => body.code))).toEqual(new Set(['quota_exceeded']))
    const [stored] = await world.server.deps.db.read(
      (sql) => sql<{ bytes: number; rows: number }[]>`
        select sum(size)::bigint as bytes, count(*)::int as rows from attachments where uploader_id = ${person.id}`,
    )
    expect(stored).toEqual({ bytes: 1024 ** 3, rows: left + 2 })
    expect((await filesIn()).length).toBe(before.files + left)
    // Removing one makes room for one.
    const [gone] = (await world.ask(person, 'GET', `/api/tasks/${task}/attachments?limit=100`)).items.slice(
      -1,
    )
    await world.ask(person, 'DELETE', `/api/attachments/${gone.id}`)
    expect((await upload({ url: world.url, token: person.token, taskId: task, content })).status).toBe(201)
  }, 60_000)
})
