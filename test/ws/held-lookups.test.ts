// What a socket is sent while a look-up of its rights is held: nothing that the look-up does not confirm, and each end of
// a right once. Look-ups are the real ones, kept from starting until the test lets them.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { RunningServer } from '../../src/app/compose.ts'
import type { DatabaseCalls } from '../../src/db/client.ts'
import { eventually } from '../support/eventually.ts'
import type { Frame, TestSocket } from '../support/socket.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { addMember, makeProject } from './log-writes.ts'

let world: World
let server: RunningServer
let anna: Person

beforeAll(async () => {
  world = await startWorld()
  server = await world.another({}, { presenceCheckIntervalMs: 10, presenceDiffIntervalMs: 50 })
  anna = await world.register()
}, 30_000)
afterAll(async () => {
  for (const one of [server, world]) await one[Symbol.asyncDispose]()
})

/** Holds reads until it is released or disposed. */
class Hold implements Disposable {
  waiting = 0
  readonly #released = Promise.withResolvers<void>()
  readonly #restore: () => void

  /** @param wrap puts the held verbs in the place of the real ones, and returns the way back. */
  constructor(wrap: (held: (calls: DatabaseCalls) => DatabaseCalls['read']) => () => void) {
    this.#restore = wrap((calls) => async (work, options) => {
      this.waiting += 1
      await this.#released.promise
      return calls.read(work, options)
    })
  }

  release(): void {
    this.#released.resolve()
  }

  [Symbol.dispose](): void {
    this.release()
    this.#restore()
  }
}

/** Holds what is looked up for one user on `server`. */
const holdReadsOf = ({ id }: Person): Hold =>
  new Hold((held) => {
    const { db } = server.deps
    const of = db.of.bind(db)
    db.of = (caller) => (caller === id ? { ...of(caller), read: held(of(caller)) } : of(caller))
    return () => {
      db.of = of
    }
  })

/** Holds what `server` looks up for many users at once, such as subscriptions. */
const holdSharedReads = (): Hold =>
  new Hold((held) => {
    const { systemDb } = server.deps
    const read = systemDb.read.bind(systemDb)
    systemDb.read = held({ ...systemDb, read })
    return () => {
      systemDb.read = read
    }
  })

let rids = 0
const send = (socket: TestSocket, frame: object): ((frame: Frame) => boolean) => {
  const rid = (rids += 1)
  socket.send({ rid, ...frame })
  return (one) => one.rid === rid
}

const ask = (socket: TestSocket, frame: object): Promise<Frame> => socket.take(send(socket, frame))

const watching = async (person: Person, key: string): Promise<TestSocket> => {
  const socket = await world.socket(person, server.url)
  expect(await ask(socket, { t: 'watch', key })).toMatchObject({ t: 'ok' })
  await socket.take('presence')
  return socket
}

const remove = (project: { id: string }, person: Person): Promise<unknown> =>
  world.ask(anna, 'DELETE', `/api/projects/${project.id}/members/${person.id}`)

const listsAll =
  (...people: Person[]) =>
  ({ t, users }: Frame): boolean =>
    t === 'presence' && people.every(({ id }) => (users as string[]).includes(id))

/** Anna and Bert watch a place of which Carl is a member too; Bert is removed, and the look-up of his rights is held. */
const removedWhileWatching = async () => {
  await using stack = new AsyncDisposableStack()
  const { bert, carl } = await world.people('bert', 'carl')
  const project = await makeProject(world, anna, { editor: [bert, carl] })
  const key = `project:${project.id}`
  const a = stack.use(await watching(anna, key))
  const b = stack.use(await watching(bert, key))
  const held = stack.use(holdReadsOf(bert))
  await remove(project, bert)
  await eventually(() => expect(held.waiting).toBe(1)) // the removal has suspended the watch
  const owned = stack.move()
  return { bert, carl, project, key, a, b, held, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

test('a removed member who watches again while the look-up runs reads no presence', async () => {
  await using scene = await removedWhileWatching()
  const { carl, key, a, b, held } = scene
  const before = b.frames.length
  const isAnswer = send(b, { t: 'watch', key })
  // Others enter and are shown to each other meanwhile.
  await using _c = await watching(carl, key)
  await a.take(listsAll(anna, carl))
  held.release()
  expect(await b.take(isAnswer)).toMatchObject({ t: 'error', code: 'not_found' })
  await b.take((frame) => frame.t === 'error' && frame.key === key)
  expect(b.frames.slice(before).map(({ t, code }) => [t, code])).toEqual([
    ['error', 'not_found'],
    ['error', 'not_found'],
  ])
})

test('a member whose watch is confirmed again is shown who entered while the look-up ran', async () => {
  await using scene = await removedWhileWatching()
  const { bert, carl, project, key, a, b, held } = scene
  await addMember(world, project, anna, bert)
  const before = b.frames.length
  await using _c = await watching(carl, key)
  await a.take(listsAll(carl))
  const isAnswer = send(b, { t: 'watch', key })
  held.release()
  expect(await b.take(isAnswer)).toMatchObject({ t: 'ok' })
  expect(await b.take(listsAll(anna, bert, carl))).toMatchObject({ joined: [], left: [], count: 3 })
  expect(b.frames.slice(before).every(({ t }) => t === 'ok' || t === 'presence')).toBe(true)
})

test('the same without a second watch: the full state follows the look-up', async () => {
  await using scene = await removedWhileWatching()
  const { bert, carl, project, key, a, b, held } = scene
  await addMember(world, project, anna, bert)
  await using _c = await watching(carl, key)
  await a.take(listsAll(carl))
  held.release()
  await b.take(listsAll(anna, bert, carl))
})

test('a revocation is sent once to a client that subscribes again while it arrives, and the sub is answered (P-SUB-7, P-REV-1)', async () => {
  const bert = await world.register()
  const project = await makeProject(world, anna, { editor: bert })
  const { scope } = project
  await using b = await world.socket(bert, server.url)
  expect(await ask(b, { t: 'sub', scope, cursor: null })).toMatchObject({ t: 'sub' })
  await b.take('synced')
  using held = holdSharedReads()
  const isAnswer = send(b, { t: 'sub', scope, cursor: null })
  await eventually(() => expect(held.waiting).toBeGreaterThan(0))
  await remove(project, bert)
  await b.take('access')
  held.release()
  expect(await b.take(isAnswer)).toMatchObject({ t: 'error', code: 'not_found' })
  b.send({ t: 'ping' })
  await b.take('pong')
  expect(b.frames.filter(({ t }) => t === 'access')).toHaveLength(1)
})

test('a held subscription that may no longer be read ends with access where the entry has not arrived (P-SUB-7)', async () => {
  const bert = await world.register()
  const project = await makeProject(world, anna, { editor: bert })
  const { scope } = project
  await using b = await world.socket(bert, server.url)
  expect(await ask(b, { t: 'sub', scope, cursor: null })).toMatchObject({ t: 'sub' })
  await b.take('synced')
  // Removed in the rows only: what a server sees that has read the commit before the entry.
  await world.server.deps.db.read(
    (sql) => sql`delete from members where project_id = ${project.id} and user_id = ${bert.id}`,
  )
  b.send({ t: 'sub', rid: 'again', scope, cursor: null })
  expect(await b.take('access')).toMatchObject({ scope, op: 'revoked' })
  b.send({ t: 'ping' })
  await b.take('pong')
  expect(b.frames.filter(({ rid }) => rid === 'again')).toEqual([])
})
