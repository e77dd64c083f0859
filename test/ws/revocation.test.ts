// A removed member receives nothing numbered after the removal, on every process and by replay either; a member added
// again starts from the snapshot. The scope of a user belongs to that user alone.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { userScope, type Scope } from '../../src/model/scope.ts'
import type { RunningServer } from '../../src/app/compose.ts'
import type { LogEntry } from '../../src/model/event.ts'
import { randomOf, seed } from '../changelog/seed.ts'
import { eventually } from '../support/eventually.ts'
import { openSocket, type Frame, type TestSocket } from '../support/socket.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { addMember, untilCaughtUp, entry, makeProject, appendEntries } from './log-writes.ts'

let world: World
let second: RunningServer
let third: RunningServer
let anna: Person

beforeAll(async () => {
  world = await startWorld()
  second = await world.another()
  third = await world.another()
  anna = await world.register()
}, 30_000)
afterAll(async () => {
  for (const server of [third, second, world]) await server[Symbol.asyncDispose]()
})

const servers = (): RunningServer[] => [world.server, second, third]
const seqOf = (frame: Frame): number => Number(frame.cursor.split('.')[2])

const follow = async (url: string, person: Person, scope: Scope): Promise<TestSocket> => {
  const socket = await openSocket(url, { token: person.token })
  await subscribe(socket, scope)
  await socket.take('synced')
  return socket
}

const subscribe = (socket: TestSocket, scope: Scope, cursor: string | null = null): Promise<Frame> => {
  const rid = Bun.randomUUIDv7()
  socket.send({ t: 'sub', rid, scope, cursor })
  return socket.take((frame) => frame.rid === rid)
}

const remove = async (projectId: string, { id }: Person): Promise<void> => {
  const { status } = await world.call('DELETE', `/api/projects/${projectId}/members/${id}`, {
    token: anna.token,
  })
  expect(status).toBe(204)
}

/** Writes to the scope until the returned function is called. */
const keepWriting = (scope: Scope): (() => Promise<void>) => {
  const over = new AbortController()
  const writers = Array.from({ length: 3 }, async (_, n) => {
    while (!over.signal.aborted) await appendEntries(servers()[n]!.deps, entry(scope), entry(scope))
  })
  return async () => {
    over.abort()
    await Promise.all(writers)
  }
}

test('a removed member receives the removal and no frame after it, on three processes under writes (P-REV-1, P-REV-4)', async () => {
  const bert = await world.register()
  const project = await makeProject(world, anna, { editor: bert })
  const { scope } = project
  await using stack = new AsyncDisposableStack()
  const sockets = []
  for (const { url } of servers()) {
    for (let n = 0; n < 3; n += 1) sockets.push(stack.use(await follow(url, bert, scope)))
  }
  const kept = stack.use(await follow(second.url, anna, scope))
  const stopWriting = keepWriting(scope)
  await Promise.all(sockets.map((socket) => socket.take('event')))
  await remove(project.id, bert)
  const [ended] = await Promise.all(sockets.map((socket) => socket.take('access')))
  // Several writes after the removal, so that a delivery past it would be seen.
  await kept.take((frame) => frame.t === 'event' && seqOf(frame) > seqOf(ended!) + 5)
  await stopWriting()
  await Promise.all(servers().map(untilCaughtUp))

  const log = await world.entries(scope)
  const end = log.find(({ control }) => control?.kind === 'revoke')!
  expect(log.at(-1)!.seq).toBeGreaterThan(end.seq + 5)
  for (const socket of sockets) {
    socket.send({ t: 'ping' })
    await socket.take('pong')
    const frames = socket.frames.filter((frame) => frame.scope === scope && frame.t !== 'sub')
    const [access] = frames.splice(-1)
    expect(access).toMatchObject({ t: 'access', op: 'revoked' })
    expect(seqOf(access!)).toBe(end.seq)
    expect(frames.every((frame) => seqOf(frame) < end.seq)).toBe(true)
    const events = frames.filter(({ t }) => t === 'event')
    const from = seqOf(events[0]!)
    expect(events.map(seqOf)).toEqual(log.flatMap(({ seq }) => (seq >= from && seq < end.seq ? seq : [])))
    // Nor by replay from a cursor before, at or after the removal.
    for (const seq of [from, end.seq - 1, end.seq, end.seq + 1]) {
      const cursor = access!.cursor.replace(/\d+$/, String(seq))
      expect(await subscribe(socket, scope, cursor)).toMatchObject({ t: 'error', code: 'not_found' })
    }
    expect(await subscribe(socket, scope)).toMatchObject({ t: 'error', code: 'not_found' })
  }
  await eventually(() =>
    expect(kept.frames.some((frame) => frame.t === 'event' && seqOf(frame) > end.seq)).toBe(true),
  )

  // A member who is added again reads the snapshot first.
  await addMember(world, project, anna, bert)
  const cursorBefore = sockets[0]!.frames.find(({ t }) => t === 'event')!.cursor
  expect(await subscribe(sockets[0]!, scope, cursorBefore)).toMatchObject({ t: 'resync', reason: 'access' })
  expect(await subscribe(sockets[0]!, scope)).toMatchObject({ t: 'sub', mode: 'fresh' })
}, 30_000)

test('the removal is also sent to the scope of the user (P-REV-3)', async () => {
  const bert = await world.register()
  const project = await makeProject(world, anna, { editor: bert })
  await using socket = await follow(second.url, bert, userScope(bert.id))
  await remove(project.id, bert)
  expect(await socket.take((frame) => frame.type === 'access.revoked')).toMatchObject({
    scope: userScope(bert.id),
    data: { projectId: project.id },
  })
})

test('every frame a user receives was readable to that user at its number, while members are added and removed', async () => {
  const random = randomOf(seed)
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!
  const projects = await Promise.all([1, 2].map(() => makeProject(world, anna)))
  const people = await Promise.all([1, 2, 3, 4].map(() => world.register()))
  const scopes: Scope[] = [...projects.map(({ scope }) => scope), ...people.map(({ id }) => userScope(id))]
  await using stack = new AsyncDisposableStack()
  const sockets = await Promise.all(
    people.flatMap((person) =>
      servers().map(async ({ url }) => ({
        person,
        socket: stack.use(await openSocket(url, { token: person.token })),
      })),
    ),
  )
  let isOver = false
  const writing = keepWritingTo(scopes, random, () => isOver)
  const members = new Set<string>()
  const cursors = new Map<Scope, string>()
  for (let step = 0; step < 60; step += 1) {
    const [project, person] = [pick(projects), pick(people)]
    const key = `${project.id} ${person.id}`
    if (members.delete(key)) await remove(project.id, person)
    else {
      await addMember(world, project, anna, person)
      members.add(key)
    }
    // Every socket tries any scope, readable or not, with any cursor that any of them received.
    for (const { socket } of sockets) {
      const scope = pick(scopes)
      for (const frame of socket.frames.slice(-5)) if (frame.cursor) cursors.set(frame.scope, frame.cursor)
      const cursor = random() < 0.5 ? (cursors.get(scope) ?? null) : null
      if (random() < 0.3) socket.send({ t: 'sub', rid: step, scope, cursor })
    }
  }
  isOver = true
  await writing
  await Promise.all(servers().map(untilCaughtUp))

  const logs = new Map<Scope, LogEntry[]>()
  for (const scope of scopes) logs.set(scope, await world.entries(scope))
  let checked = 0
  for (const { person, socket } of sockets) {
    socket.send({ t: 'ping' })
    await socket.take('pong')
    for (const frame of socket.frames.filter(({ t }) => t === 'event')) {
      expect([frame.scope, seqOf(frame), couldRead(logs.get(frame.scope)!, person, frame)]).toEqual([
        frame.scope,
        seqOf(frame),
        true,
      ])
      checked += 1
    }
  }
  console.log(`${checked} frames judged, seed ${seed}`)
  expect(checked).toBeGreaterThan(100)
}, 60_000)

const keepWritingTo = async (scopes: Scope[], random: () => number, isOver: () => boolean): Promise<void> => {
  while (!isOver())
    await appendEntries(servers()[Math.floor(random() * 3)]!.deps, ...scopes.map((scope) => entry(scope)))
}

/**
 * The reference, from the log alone: a member may read between being added and
 * removed; a user may read the own scope.
 */
const couldRead = (log: LogEntry[], { id }: Person, frame: Frame): boolean => {
  if (frame.scope.startsWith('user:')) return frame.scope === userScope(id)
  const turns = log.filter(
    (one) => one.entityId === id && one.seq <= seqOf(frame) && /^member\.(added|removed)$/.test(one.type),
  )
  return turns.at(-1)?.type === 'member.added'
}
