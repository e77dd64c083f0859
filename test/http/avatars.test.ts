// Pictures over HTTP: what is accepted, what is sent, where the path of a picture is shown, and that no object outlives
// its row.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { selectOrphans } from '../../src/db/files/sweep.ts'
import { newId } from '../../src/model/scalar.ts'
import { projectScope, userScope, type Scope } from '../../src/model/scope.ts'
import { gif, jpeg, join8, png, pngChunk, webp, type Bytes } from '../support/images.ts'
import { startWorld, testPassword, type Person, type World } from '../support/world.ts'

let world: World

beforeAll(async () => {
  world = await startWorld()
})

afterAll(() => world[Symbol.asyncDispose]())

const put = async (
  person: Pick<Person, 'token'>,
  content: Uint8Array<ArrayBuffer> | FormData,
  headers: Record<string, string> = {},
) => {
  const form = content instanceof FormData ? content : new FormData()
  if (!(content instanceof FormData)) form.set('file', new File([content], 'me.png', { type: 'image/png' }))
  const response = await fetch(`${world.url}/api/users/me/avatar`, {
    method: 'PUT',
    headers: { Authorization: `Bearer ${person.token}`, ...headers },
    body: form,
  })
  const body = await response.json()
  return { status: response.status, headers: response.headers, body }
}

const get = async (person: Pick<Person, 'token'>, path: string, headers: Record<string, string> = {}) => {
  const response = await fetch(world.url + path, {
    headers: { Authorization: `Bearer ${person.token}`, ...headers },
  })
  return {
    status: response.status,
    headers: response.headers,
    bytes: new Uint8Array(await response.arrayBuffer()),
  }
}

const remove = (person: Person) => world.call('DELETE', '/api/users/me/avatar', { token: person.token })

const objects = async (): Promise<string[]> => {
  const keys: string[] = []
  for await (const { key } of world.server.deps.storage.list('avatars/')) keys.push(key)
  return keys.toSorted()
}

const owned = (): Promise<{ key: string }[]> =>
  world.server.deps.db.read(
    (sql) => sql<{ key: string }[]>`
      select avatar_key as key from users where avatar_key is not null
      union all select key from file_deletions
      order by key`,
  )

test('a picture that arrives in many pieces is stored whole', async () => {
  const person = await world.register()
  const picture = png(8, 8, { more: [pngChunk('tEXt', `Comment\0${'long '.repeat(300_000)}`)] })
  const { status, body } = await put(person, picture)
  expect([status, body.avatarUrl]).toEqual([200, expect.any(String)])
  expect((await get(person, body.avatarUrl)).bytes).toEqual(png(8, 8))
})

test('a picture is stored without its metadata, sent to everyone who is signed in, and kept by browsers', async () => {
  const { Ada: ada, Bob: bob } = await world.people('Ada', 'Bob')
  const picture = png(8, 8, { more: [pngChunk('tEXt', 'Comment\0SECRET')] })
  const { status, body, headers } = await put(ada, picture)
  expect([status, body.id, body.avatarUrl]).toEqual([
    200,
    ada.id,
    expect.stringMatching(new RegExp(`^/api/users/${ada.id}/avatar\\?v=[0-9a-f]{12}$`)),
  ])
  const entry = (await world.entries(userScope(ada.id))).at(-1)!
  expect(entry).toMatchObject({
    type: 'user.updated',
    changes: { avatarUrl: { from: null, to: body.avatarUrl } },
  })
  expect(headers.get('tide-cursor')).toBe(JSON.parse(entry.frame!).cursor)

  const shown = await get(bob, body.avatarUrl)
  expect(shown.bytes).toEqual(png(8, 8))
  expect(Object.fromEntries(shown.headers)).toMatchObject({
    'content-type': 'image/png',
    'content-disposition': 'attachment; filename="avatar.png"',
    'cache-control': 'private, max-age=31536000, immutable',
    'x-content-type-options': 'nosniff',
  })
  const plain = `/api/users/${ada.id}/avatar`
  const present = await get(bob, plain)
  expect(present.headers.get('cache-control')).toBe('private, no-cache')
  const tag = present.headers.get('etag')!
  expect((await get(bob, plain, { 'If-None-Match': tag })).status).toBe(304)
  expect((await fetch(world.url + plain)).status).toBe(401)
  for (const [path, expected] of [
    [`/api/users/${bob.id}/avatar`, 404],
    [`/api/users/${newId()}/avatar`, 404],
    ['/api/users/none/avatar', 404],
    [`${plain}?size=1`, 400],
  ] as const)
    expect([path, (await get(bob, path)).status]).toEqual([path, expected])

  const next = await put(ada, await jpeg())
  expect(next.body.avatarUrl).not.toBe(body.avatarUrl)
  const later = await get(bob, body.avatarUrl) // an old path shows the present picture, and is not kept
  expect([later.headers.get('content-type'), later.headers.get('cache-control')]).toEqual([
    'image/jpeg',
    'private, no-cache',
  ])
  for (const [image, type] of [
    [await webp(), 'image/webp'],
    [gif(), 'image/gif'],
  ] as const) {
    await put(ada, image)
    expect((await get(bob, plain)).headers.get('content-type')).toBe(type)
  }
})

test('every shape that shows a person shows the path of the picture', async () => {
  const { Ada: ada, Bob: bob } = await world.people('Ada', 'Bob')
  const { body: user } = await put(ada, png(2, 2))
  const { avatarUrl } = user
  const project = await world.project(bob, { editor: ada })
  const own = await world.project(bob)
  const task = await world.ask(bob, 'POST', '/api/tasks', { title: 'Land', projectId: project.id })
  const alone = await world.ask(bob, 'POST', '/api/tasks', { title: 'Alone', projectId: own.id })
  const share = await world.ask(bob, 'POST', `/api/tasks/${alone.id}/shares`, {
    userId: ada.id,
    permission: 'view',
  })
  expect(share.avatarUrl).toBe(avatarUrl)
  const comment = await world.ask(ada, 'POST', `/api/tasks/${task.id}/comments`, { body: 'Hello' })
  expect(comment.author).toMatchObject({ id: ada.id, avatarUrl })
  const read = (path: string, person = bob) => world.ask(person, 'GET', path)
  expect((await read('/api/users/me', ada)).avatarUrl).toBe(avatarUrl)
  expect((await read(`/api/users/${ada.id}`)).avatarUrl).toBe(avatarUrl)
  expect((await read('/api/users/search?q=ada')).items[0].avatarUrl).toBe(avatarUrl)
  expect((await read('/api/users/me/snapshot', ada)).user.avatarUrl).toBe(avatarUrl)
  const memberOf = (list: { userId: string }[]) => list.find(({ userId }) => userId === ada.id)
  expect(memberOf((await read(`/api/projects/${project.id}/members`)).items)).toMatchObject({ avatarUrl })
  expect(memberOf((await read(`/api/projects/${project.id}/snapshot`)).members)).toMatchObject({ avatarUrl })
  expect((await read(`/api/tasks/${alone.id}/shares`)).items[0].avatarUrl).toBe(avatarUrl)
  expect((await read(`/api/tasks/${task.id}/comments`)).items[0].author.avatarUrl).toBe(avatarUrl)
  const { items: acts } = await read(`/api/tasks/${task.id}/activity`)
  expect(acts[0]).toMatchObject({ type: 'comment.created', actor: { id: ada.id, avatarUrl } })
  const notice = newId()
  await world.server.deps.db.transact(
    (tx) => tx`
      insert into notifications (id, user_id, kind, actor_id, dedupe_key)
      values (${notice}, ${bob.id}, 'commented', ${ada.id}, ${notice})`,
  )
  expect((await read('/api/notifications')).items[0].actor).toMatchObject({ id: ada.id, avatarUrl })
  expect((await read('/api/users/me/snapshot')).notifications[0].actor).toMatchObject({ avatarUrl })
  const logged = async (scope: Scope, type: string) =>
    JSON.parse((await world.entries(scope)).findLast((entry) => entry.type === type && entry.frame)!.frame!)
      .data
  const log = projectScope(project.id)
  expect(await logged(log, 'member.added')).toMatchObject({ userId: ada.id, avatarUrl })
  expect((await logged(log, 'comment.created')).author).toMatchObject({ id: ada.id, avatarUrl })
  expect(await logged(projectScope(own.id), 'share.added')).toMatchObject({ userId: ada.id, avatarUrl })
  expect(await logged(userScope(ada.id), 'user.updated')).toMatchObject({ id: ada.id, avatarUrl })
  const admin = await world.registerAdmin()
  expect((await read(`/api/users/${ada.id}`, admin)).avatarUrl).toBe(avatarUrl)
  expect((await read('/api/users?limit=100', admin)).items).toContainEqual(
    expect.objectContaining({ id: ada.id, avatarUrl }),
  )

  expect((await remove(ada)).status).toBe(204)
  expect(memberOf((await read(`/api/projects/${project.id}/members`)).items)).toMatchObject({
    avatarUrl: null,
  })
  expect((await read(`/api/tasks/${task.id}/comments`)).items[0].author.avatarUrl).toBeNull()
  expect((await remove(ada)).status).toBe(404)
})

test('what is no picture, too large, or more than one file is refused and leaves nothing behind', async () => {
  const ada = await world.register('Ada')
  const [before, entries] = [await objects(), await world.entryCount()]
  const refused = async (content: Bytes | FormData, status: number, code: string) =>
    expect(await put(ada, content)).toMatchObject({ status, body: { code } })
  await refused(join8('<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'), 415, 'unsupported_type')
  await refused(join8('<!doctype html><script>alert(1)</script>'), 415, 'unsupported_type')
  await refused(png(4, 4).subarray(0, -13), 415, 'unsupported_type')
  await refused(join8('%PDF-1.7'), 415, 'unsupported_type')
  await refused(png(4097, 1), 422, 'validation_failed')
  await refused(new Uint8Array(0), 422, 'validation_failed')
  await refused(join8(png(4, 4), new Uint8Array(2 * 1024 * 1024)), 413, 'file_too_large')
  const two = new FormData()
  two.append('file', new File([png(4, 4)], 'a.png'))
  two.append('file', new File([png(4, 4)], 'b.png'))
  await refused(two, 422, 'validation_failed')
  const other = new FormData()
  other.set('picture', new File([png(4, 4)], 'a.png'))
  await refused(other, 422, 'validation_failed')
  const json = await world.call('PUT', '/api/users/me/avatar', { token: ada.token, body: { file: 'x' } })
  expect(json.status).toBe(415)
  expect(await objects()).toEqual(before)
  expect(await world.entryCount()).toBe(entries)
})

test('every object has a row: replaced, removed, repeated and of deleted accounts', async () => {
  const { Ada: ada, Bob: bob } = await world.people('Ada', 'Bob')
  const headers = { 'Idempotency-Key': newId() }
  const first = await put(ada, png(3, 3), headers)
  const again = await put(ada, png(3, 3), headers)
  expect([again.headers.get('idempotency-replayed'), again.body]).toEqual(['true', first.body])
  expect((await put(ada, png(5, 5), headers)).body.code).toBe('idempotency_key_reused')
  await Promise.all([1, 2, 3, 4].map((n) => put(ada, png(n, n))))
  await put(bob, png(2, 2))
  expect((await remove(bob)).status).toBe(204)
  await put(bob, png(2, 3))
  const left = await world.call('DELETE', '/api/users/me', {
    token: bob.token,
    body: { password: testPassword },
  })
  expect(left.status).toBe(204)
  const keys = await objects()
  expect((await owned()).map(({ key }) => key)).toEqual(keys)

  // The sweep takes a picture that no row owns for an orphan, and no other.
  const orphan = `avatars/${newId()}`
  await world.server.deps.storage.put(orphan, png(1, 1))
  expect(await world.server.deps.db.read((sql) => selectOrphans(sql, [...keys, orphan]))).toEqual([orphan])
})

test('writes of one person to the account at the same time, each with a key, wait for each other', async () => {
  const ada = await world.register('Ada')
  const own = (index: number) => ({ 'Idempotency-Key': `at-once-${index}` })
  const answers = await Promise.all(
    Array.from({ length: 16 }, (_, index) =>
      index % 2 === 0
        ? put(ada, png(8, 8), own(index))
        : world.call('PATCH', '/api/users/me', {
            token: ada.token,
            body: { name: `Ada ${index}` },
            headers: own(index),
          }),
    ),
  )
  expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 16 }, () => 200))
})
