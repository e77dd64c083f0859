// Attachments over REST: what is stored is what was sent, with its type, hash and name; who may add, read and remove; the
// entries and the counter of the task.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { Attachment } from '../../src/model/attachment.ts'
import { projectScope, userScope } from '../../src/model/scope.ts'
import { formOf, png, samples, sendForm, upload } from '../support/uploads.ts'
import { startWorld, type Person, type World } from '../support/world.ts'

let world: World
let owner: Person
let editor: Person
let viewer: Person
let stranger: Person
let projectId: string

beforeAll(async () => {
  world = await startWorld()
  ;({ owner, editor, viewer, stranger } = await world.people('owner', 'editor', 'viewer', 'stranger'))
  projectId = (await world.project(owner, { editor, viewer })).id
})
afterAll(() => world[Symbol.asyncDispose]())

const newTask = async (): Promise<string> =>
  (await world.ask(owner, 'POST', '/api/tasks', { projectId, title: 'Files' })).id

const attach = async (
  taskId: string,
  { token }: Person = owner,
  options: { name?: string; content?: Uint8Array<ArrayBuffer> | string } = {},
): Promise<Attachment> => {
  const { status, body } = await upload({ url: world.url, token, taskId, ...options })
  expect({ status, body }).toMatchObject({ status: 201 })
  return body
}

const download = (
  id: string,
  { token }: Person = owner,
  headers: Record<string, string> = {},
  method = 'GET',
) =>
  fetch(`${world.url}/api/attachments/${id}`, {
    method,
    headers: { Authorization: `Bearer ${token}`, ...headers },
  })

const sha256 = (bytes: Uint8Array | string): string =>
  new Bun.CryptoHasher('sha256').update(bytes).digest('hex')

describe('an upload', () => {
  test('is answered with the attachment, and stored byte for byte', async () => {
    const taskId = await newTask()
    const content = crypto.getRandomValues(new Uint8Array(60_000))
    content.set(png)
    const answer = await upload({ url: world.url, token: editor.token, taskId, name: 'Plan ä.png', content })
    expect(answer.status).toBe(201)
    expect(answer.body).toEqual({
      id: expect.any(String),
      taskId,
      filename: 'Plan ä.png',
      contentType: 'image/png',
      size: 60_000,
      sha256: sha256(content),
      uploaderId: editor.id,
      createdAt: expect.any(String),
    })
    expect(answer.headers.get('location')).toBe(`/api/attachments/${answer.body.id}`)
    expect(answer.headers.get('etag')).toBe(`"${answer.body.sha256}"`)
    expect(answer.headers.get('tide-cursor')).toBeString()
    const sent = await download(answer.body.id)
    expect([sent.status, sha256(await sent.bytes())]).toEqual([200, sha256(content)])
  })

  test('counts on the task, raises its version, and appends both entries to the project and to sharees', async () => {
    const taskId = await newTask()
    await world.ask(owner, 'POST', `/api/tasks/${taskId}/shares`, {
      email: stranger.email,
      permission: 'edit',
    })
    const attachment = await attach(taskId, stranger)
    const task = await world.ask(owner, 'GET', `/api/tasks/${taskId}`)
    expect([task.attachmentCount, task.version]).toEqual([1, 2])
    for (const scope of [projectScope(projectId), userScope(stranger.id)]) {
      const entries = (await world.entries(scope)).slice(-2)
      expect(entries.map(({ type, entityId }) => [type, entityId])).toEqual([
        ['attachment.added', attachment.id],
        ['task.updated', taskId],
      ])
      const [added, updated] = entries.map(({ frame }) => JSON.parse(frame!))
      expect([added.data, added.actor, updated.changed]).toEqual([
        attachment,
        stranger.id,
        ['attachmentCount'],
      ])
    }
    const { status } = await world.call('DELETE', `/api/attachments/${attachment.id}`, {
      token: stranger.token,
    })
    expect(status).toBe(204)
    const entries = (await world.entries(projectScope(projectId))).slice(-2)
    expect(entries.map(({ type, entityId }) => [type, entityId])).toEqual([
      ['attachment.removed', attachment.id],
      ['task.updated', taskId],
    ])
    expect(JSON.parse(entries[0]!.frame!).data).toEqual(attachment)
    expect((await world.ask(owner, 'GET', `/api/tasks/${taskId}`)).attachmentCount).toBe(0)
    expect((await download(attachment.id)).status).toBe(404)
    expect(
      (await world.call('DELETE', `/api/attachments/${attachment.id}`, { token: owner.token })).status,
    ).toBe(404)
  })

  test('of every allowed type is recognised by its content, whatever its name and header say', async () => {
    const taskId = await newTask()
    for (const [type, { name, content }] of Object.entries(samples)) {
      expect([name, (await attach(taskId, owner, { name, content })).contentType]).toEqual([name, type])
      const form = formOf('renamed.bin', content, 'application/octet-stream')
      const renamed = await sendForm({ url: world.url, token: owner.token, taskId }, form)
      const plain = type.startsWith('text/') ? 'text/plain' : type
      expect([name, renamed.body.contentType]).toEqual([name, plain])
    }
  })

  test('of 10 MiB exactly is accepted', async () => {
    const content = new Uint8Array(10 * 1024 * 1024).fill(0x61)
    const { size } = await attach(await newTask(), owner, { name: 'long.txt', content })
    expect(size).toBe(content.byteLength)
  })

  test('without a length, in pieces of any size, is the same file', async () => {
    const taskId = await newTask()
    const content = 'x'.repeat(50) + '\r\n--b\r\n--bound\r\r\n-' + 'y'.repeat(50)
    const text = `--boundary\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\n${content}\r\n--boundary--\r\n`
    for (const size of [1, 2, 3, 7, 64, 1_000]) {
      const pieces = text.match(new RegExp(`[^]{1,${size}}`, 'g'))!
      const body = new ReadableStream({
        async start(controller) {
          for (const piece of pieces) {
            controller.enqueue(new TextEncoder().encode(piece))
            if (size > 3) await new Promise((resolve) => setImmediate(resolve))
          }
          controller.close()
        },
      })
      const request = {
        url: world.url,
        token: owner.token,
        taskId,
        headers: { 'Content-Type': 'multipart/form-data; boundary=boundary' },
      }
      const answer = await sendForm(request, body)
      expect([size, answer.status, answer.body.sha256]).toEqual([size, 201, sha256(content)])
    }
  })
})

describe('a download', () => {
  const content = 'Hello 0123456789'
  let attachment: Attachment
  beforeAll(async () => {
    attachment = await attach(await newTask(), owner, { name: 'Résumé "1"; x.txt', content })
  })

  test('is saved and never shown: type, disposition, nosniff, policy', async () => {
    const { status, headers } = await download(attachment.id, viewer)
    expect(status).toBe(200)
    expect(
      Object.fromEntries(
        [
          'content-type',
          'x-content-type-options',
          'content-disposition',
          'accept-ranges',
          'content-length',
          'cache-control',
          'etag',
        ].map((name) => [name, headers.get(name)]),
      ),
    ).toEqual({
      'content-type': 'text/plain',
      'x-content-type-options': 'nosniff',
      'content-disposition': `attachment; filename="R_sum_ _1_; x.txt"; filename*=UTF-8''R%C3%A9sum%C3%A9%20%221%22%3B%20x.txt`,
      'accept-ranges': 'bytes',
      'content-length': String(content.length),
      'cache-control': 'private, no-cache',
      etag: `"${sha256(content)}"`,
    })
    expect(headers.get('content-security-policy')).toContain("default-src 'none'")
  })

  test('of a text is not compressed: ranges count its bytes', async () => {
    const long = await attach(await newTask(), owner, { content: 'a'.repeat(5_000) })
    const { headers } = await download(long.id, owner, { 'Accept-Encoding': 'gzip, zstd' })
    expect([headers.get('content-encoding'), headers.get('content-length')]).toEqual([null, '5000'])
  })

  test('answers ranges', async () => {
    const cases: [string, number, string, string | null][] = [
      ['bytes=0-4', 206, 'Hello', 'bytes 0-4/16'],
      ['bytes=6-', 206, '0123456789', 'bytes 6-15/16'],
      ['bytes=-3', 206, '789', 'bytes 13-15/16'],
      ['bytes=-100', 206, content, 'bytes 0-15/16'],
      ['bytes=15-99', 206, '9', 'bytes 15-15/16'],
      ['Bytes= 0-0 ', 206, 'H', 'bytes 0-0/16'],
      // Ignored: several ranges, other units, nonsense.
      ['bytes=0-1,3-4', 200, content, null],
      ['lines=0-1', 200, content, null],
      ['bytes=4-2', 200, content, null],
      ['bytes=-', 200, content, null],
      ['bytes=a-b', 200, content, null],
      ['bytes', 200, content, null],
      ['', 200, content, null],
    ]
    for (const [range, status, text, contentRange] of cases) {
      const answer = await download(attachment.id, owner, { Range: range })
      expect([range, answer.status, await answer.text(), answer.headers.get('content-range')]).toEqual([
        range,
        status,
        text,
        contentRange,
      ])
    }
  })

  test('refuses ranges behind its end', async () => {
    for (const range of ['bytes=16-', 'bytes=16-20', 'bytes=-0', 'bytes=99999999999999999999-']) {
      const answer = await download(attachment.id, owner, { Range: range })
      expect([range, answer.status, answer.headers.get('content-range'), (await answer.json()).code]).toEqual(
        [range, 416, 'bytes */16', 'range_not_satisfiable'],
      )
    }
  })

  test('follows conditions', async () => {
    const tag = `"${attachment.sha256}"`
    const known = await download(attachment.id, owner, { 'If-None-Match': tag })
    expect([known.status, await known.text(), known.headers.get('etag')]).toEqual([304, '', tag])
    expect((await download(attachment.id, owner, { 'If-None-Match': tag, Range: 'bytes=0-1' })).status).toBe(
      304,
    )
    expect((await download(attachment.id, owner, { 'If-Range': tag, Range: 'bytes=0-1' })).status).toBe(206)
    expect((await download(attachment.id, owner, { 'If-Range': '"other"', Range: 'bytes=0-1' })).status).toBe(
      200,
    )
  })

  test('answers HEAD without a body', async () => {
    const answer = await download(attachment.id, owner, {}, 'HEAD')
    expect([answer.status, answer.headers.get('content-length'), await answer.text()]).toEqual([
      200,
      '16',
      '',
    ])
    const range = await download(attachment.id, owner, { Range: 'bytes=0-1' }, 'HEAD')
    expect([range.status, range.headers.get('content-length')]).toEqual([206, '2'])
  })

  test('of a row whose object is missing is 404', async () => {
    const lost = await attach(await newTask())
    const [row] = await world.server.deps.db.read(
      (sql) => sql<{ key: string }[]>`select storage_key as key from attachments where id = ${lost.id}`,
    )
    await world.server.deps.storage.delete(row!.key)
    expect((await download(lost.id)).status).toBe(404)
  })
})

describe('rights', () => {
  test('reading needs the right to read the task, adding and removing the right to change it', async () => {
    const taskId = await newTask()
    const attachment = await attach(taskId)
    const shared = await newTask()
    const viewed = await attach(shared)
    await world.ask(owner, 'POST', `/api/tasks/${shared}/shares`, {
      email: stranger.email,
      permission: 'view',
    })
    const add = async (person: Person, id: string) => {
      const { status } = await upload({ url: world.url, token: person.token, taskId: id })
      return status
    }
    const remove = async (person: Person, id: string) =>
      (await world.call('DELETE', `/api/attachments/${id}`, { token: person.token })).status
    const list = async (person: Person, id: string) =>
      (await world.call('GET', `/api/tasks/${id}/attachments`, { token: person.token })).status
    const read = async (person: Person, id: string) => (await download(id, person)).status
    expect(
      await Promise.all([
        add(viewer, taskId),
        remove(viewer, attachment.id),
        list(viewer, taskId),
        read(viewer, attachment.id),
      ]),
    ).toEqual([403, 403, 200, 200])
    expect(
      await Promise.all([
        add(stranger, taskId),
        remove(stranger, attachment.id),
        list(stranger, taskId),
        read(stranger, attachment.id),
      ]),
    ).toEqual([404, 404, 404, 404])
    expect(
      await Promise.all([
        add(stranger, shared),
        remove(stranger, viewed.id),
        list(stranger, shared),
        read(stranger, viewed.id),
      ]),
    ).toEqual([403, 403, 200, 200])
    await world.ask(owner, 'PATCH', `/api/tasks/${shared}/shares/${stranger.id}`, { permission: 'edit' })
    expect(await Promise.all([add(stranger, shared), remove(stranger, viewed.id)])).toEqual([201, 204])
    expect(await add(editor, taskId)).toBe(201)
    const anonymous = await fetch(`${world.url}/api/attachments/${attachment.id}`)
    expect(anonymous.status).toBe(401)
  })

  test('an archived project takes and loses no file, and its files are still read', async () => {
    const project = await world.project(owner)
    const task = await world.ask(owner, 'POST', '/api/tasks', { projectId: project.id, title: 'Old' })
    const attachment = await attach(task.id)
    await world.ask(owner, 'POST', `/api/projects/${project.id}/archive`)
    const added = await upload<{ code: string }>({ url: world.url, token: owner.token, taskId: task.id })
    expect([added.status, added.body.code]).toEqual([409, 'project_archived'])
    const removed = await world.call('DELETE', `/api/attachments/${attachment.id}`, { token: owner.token })
    expect([removed.status, removed.body.code]).toEqual([409, 'project_archived'])
    expect((await download(attachment.id)).status).toBe(200)
  })
})

describe('the list', () => {
  test('is in pages, oldest first, numbered too, and 304 while nothing changes', async () => {
    const taskId = await newTask()
    const made: Attachment[] = []
    for (let n = 0; n < 5; n += 1) made.push(await attach(taskId, owner, { name: `${n}.txt` }))
    const first = await world.call('GET', `/api/tasks/${taskId}/attachments?limit=3`, { token: viewer.token })
    expect(first.body.items).toEqual(made.slice(0, 3))
    expect(first.headers.get('link')).toContain('rel="next"')
    const next = await world.ask(
      viewer,
      'GET',
      `/api/tasks/${taskId}/attachments?limit=3&cursor=${first.body.nextCursor}`,
    )
    expect(next).toEqual({ items: made.slice(3), nextCursor: null })
    const numbered = await world.ask(viewer, 'GET', `/api/tasks/${taskId}/attachments?limit=2&page=3`)
    expect(numbered).toMatchObject({ items: made.slice(4), page: 3, total: 5, totalPages: 3 })
    const path = `/api/tasks/${taskId}/attachments`
    const seen = await world.call('GET', path, { token: owner.token })
    const again = () =>
      world.call('GET', path, { token: owner.token, headers: { 'If-None-Match': seen.headers.get('etag')! } })
    expect((await again()).status).toBe(304)
    await world.ask(owner, 'DELETE', `/api/attachments/${made[0]!.id}`)
    const changed = await again()
    expect([changed.status, changed.body.items]).toEqual([200, made.slice(1)])
  })
})

describe('objects of what is deleted', () => {
  const keysOf = async (ids: string[]): Promise<string[]> =>
    (
      await world.server.deps.db.read(
        (sql) =>
          sql<{ key: string }[]>`select storage_key as key from attachments where id = any(${ids}::uuid[])`,
      )
    ).map(({ key }) => key)
  const listed = async (keys: string[]): Promise<number> =>
    (
      await world.server.deps.db.read(
        (sql) => sql`select from file_deletions where key = any(${keys}::text[])`,
      )
    ).length

  test('are listed in the transaction of the deletion, on every path', async () => {
    const subtree = async (project: string) => {
      const task = await world.ask(owner, 'POST', '/api/tasks', { projectId: project, title: 'Parent' })
      const below = await world.ask(owner, 'POST', '/api/tasks', {
        projectId: project,
        title: 'Child',
        parentId: task.id,
      })
      const files = [await attach(task.id), await attach(below.id)]
      return { id: task.id as string, keys: await keysOf(files.map(({ id }) => id)) }
    }
    const single = await subtree(projectId)
    await world.ask(owner, 'DELETE', `/api/tasks/${single.id}`)
    expect(await listed(single.keys)).toBe(2)

    const batch = await subtree(projectId)
    await world.ask(owner, 'POST', '/api/tasks/batch', { operations: [{ op: 'delete', id: batch.id }] })
    expect(await listed(batch.keys)).toBe(2)

    const project = await world.project(owner)
    const whole = await subtree(project.id)
    await world.ask(owner, 'DELETE', `/api/projects/${project.id}`)
    expect(await listed(whole.keys)).toBe(2)

    const leaver = await world.register()
    const task = await world.ask(leaver, 'POST', '/api/tasks', { title: 'In the Inbox' })
    const own = await keysOf([(await attach(task.id, leaver)).id])
    await world.ask(owner, 'POST', `/api/projects/${projectId}/members`, {
      email: leaver.email,
      role: 'editor',
    })
    const stays = await attach(await newTask(), leaver)
    const { status } = await world.call('DELETE', '/api/users/me', {
      token: leaver.token,
      body: { password: 'correct horse battery' },
    })
    expect([status, await listed(own), await listed(await keysOf([stays.id]))]).toEqual([204, 1, 0])
    const [kept] = (await world.ask(owner, 'GET', `/api/tasks/${stays.taskId}/attachments`)).items
    expect(kept).toMatchObject({ id: stays.id, uploaderId: null })

    const moved = await subtree(projectId)
    await world.ask(owner, 'POST', `/api/tasks/${moved.id}/move`, {
      projectId: (await world.project(owner)).id,
    })
    expect(await listed(moved.keys)).toBe(0)
  })

  test('are not listed where the deletion is rolled back', async () => {
    const attachment = await attach(await newTask())
    const keys = await keysOf([attachment.id])
    const failed = world.server.deps.db.transact(async (tx) => {
      await tx`delete from attachments where id = ${attachment.id}`
      throw new Error('rolled back')
    })
    expect(failed).rejects.toThrow('rolled back')
    await failed.catch(() => {})
    expect([await listed(keys), (await download(attachment.id)).status]).toEqual([0, 200])
  })
})
