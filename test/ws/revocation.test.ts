// Who loses access hears nothing of what comes after, on every process and also not by replay; who gets it back begins
// anew. Scopes of persons are their own.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { userScope, type Scope } from '../../src/model/scope.ts'
import type { RunningServer } from '../../src/app/compose.ts'
import type { LogEntry } from '../../src/model/event.ts'
import { randomOf, seed } from '../changelog/seed.ts'
import { eventually } from '../support/eventually.ts'
import { openSocket, type Frame, type TestSocket } from '../support/socket.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { addMember, caughtUp, entry, makeProject, say } from './voice.ts'

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

/** Writes to the scope until told to stop. */
const keepWriting = (scope: Scope): (() => Promise<void>) => {
  const over = new AbortController()
  const writers = Array.from({ length: 3 }, async (_, n) => {
    while (!over.signal.aborted) await say(servers()[n]!.deps, entry(scope), entry(scope))
  })
  return async () => {
    over.abort()
    await Promise.all(writers)
  }
}

test('a removed member hears that, and not one frame past it, on three processes while events flow (P-REV-1, P-REV-4)', async () => {
  const project = await makeProject(world, anna)
  const { scope } = project
  const bert = await world.register()
  await addMember(world, project, anna, bert)
  await using stack = new AsyncDisposableStack()
  const sockets = []
  for (const { url } of servers()) {
    for (let n = 0; n < 3; n += 1) sockets.push(stack.use(await follow(url, bert, scope)))
  }
  const kept = stack.use(await follow(second.url, anna, scope))
  const stopWriting = keepWriting(scope)
  await Promise.all(sockets.map((socket) => socket.take('event')))
  await remove(project.id, bert)
  await Promise.all(sockets.map((socket) => socket.take('access')))
  await Bun.sleep(50) // let some more be written
  await stopWriting()
  await Promise.all(servers().map(caughtUp))

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
    // Neither by replay, from before, at or after it.
    for (const seq of [from, end.seq - 1, end.seq, end.seq + 1]) {
      const cursor = access!.cursor.replace(/\d+$/, String(seq))
      expect(await subscribe(socket, scope, cursor)).toMatchObject({ t: 'error', code: 'not_found' })
    }
    expect(await subscribe(socket, scope)).toMatchObject({ t: 'error', code: 'not_found' })
  }
  await eventually(() =>
    expect(kept.frames.some((frame) => frame.t === 'event' && seqOf(frame) > end.seq)).toBe(true),
  )

  // Whoever comes back reads the snapshot first.
  await addMember(world, project, anna, bert)
  const cursorBefore = sockets[0]!.frames.find(({ t }) => t === 'event')!.cursor
  expect(await subscribe(sockets[0]!, scope, cursorBefore)).toMatchObject({ t: 'resync', reason: 'access' })
  expect(await subscribe(sockets[0]!, scope)).toMatchObject({ t: 'sub', mode: 'fresh' })
}, 30_000)

test('the user receives it in their own scope as well (P-REV-3)', async () => {
  const project = await makeProject(world, anna)
  const bert = await world.register()
  await addMember(world, project, anna, bert)
  await using socket = await follow(second.url, bert, userScope(bert.id))
  await remove(project.id, bert)
  expect(await socket.take((frame) => frame.type === 'access.revoked')).toMatchObject({
    scope: userScope(bert.id),
    data: { projectId: project.id },
  })
})

test('every frame anybody gets was theirs to read at its number, whoever joins and goes', async () => {
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
    // They try everything, readable or not, with whatever cursor anybody ever saw.
    for (const { socket } of sockets) {
      const scope = pick(scopes)
      for (const frame of socket.frames.slice(-5)) if (frame.cursor) cursors.set(frame.scope, frame.cursor)
      const cursor = random() < 0.5 ? (cursors.get(scope) ?? null) : null
      if (random() < 0.3) socket.send({ t: 'sub', rid: step, scope, cursor })
    }
  }
  isOver = true
  await writing
  await Promise.all(servers().map(caughtUp))

  const logs = new Map<Scope, LogEntry[]>()
  for (const scope of scopes) logs.set(scope, await world.entries(scope))
  let checked = 0
  for (const { person, socket } of sockets) {
    socket.send({ t: 'ping' })
    await socket.take('pong')
    for (const frame of socket.frames.filter(({ t }) => t === 'event')) {
      expect([frame.scope, seqOf(frame), mayHear(logs.get(frame.scope)!, person, frame)]).toEqual([
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
    await say(servers()[Math.floor(random() * 3)]!.deps, ...scopes.map((scope) => entry(scope)))
}

/** The judge: a member from being added until being removed; a person's scope is theirs. Knows nothing but the log. */
const mayHear = (log: LogEntry[], { id }: Person, frame: Frame): boolean => {
  if (frame.scope.startsWith('user:')) return frame.scope === userScope(id)
  const turns = log.filter(
    (one) => one.entityId === id && one.seq <= seqOf(frame) && /^member\.(added|removed)$/.test(one.type),
  )
  return turns.at(-1)?.type === 'member.added'
}
