// Clients that come and go while some 500 entries a second are written: in every session each visible number is heard
// exactly once, in order, from the cursor it began at. The judge is the table `feed`.
import { projectScope, type Scope } from '../../src/model/scope.ts'
import { expect, test } from 'bun:test'
import { randomOf, seed } from '../changelog/seed.ts'
import { eventually } from '../support/eventually.ts'
import { openSocket, type Frame, type TestSocket } from '../support/socket.ts'
import { startWorld, type Person } from '../support/world.ts'
import { caughtUp, entry, makeProject, say } from './voice.ts'

const durationMs = 5_000
const entriesPerSecond = 500
const clients = 24

/** What one subscription heard. */
interface Session {
  scope: Scope
  from: number
  /** Up to where it claims to have heard everything. */
  heard: number[]
  toTheEnd: boolean
}

const seqOf = ({ cursor }: Frame): number => Number(cursor.split('.')[2])

test('a subscription joined at any moment with any cursor misses nothing and receives nothing twice (P-SUB-3)', async () => {
  await using world = await startWorld({ socketsPerUser: 100 })
  // One that tells everybody late, as a fan-out to thousands would, and says positions all the while.
  await using second = await world.another(
    {},
    { fanOutSliceMs: 0, positionIntervalMs: 0, sweepIntervalMs: 1 },
  )
  const servers = [world.server, second]
  const person: Person = await world.register()
  const scopes = await Promise.all([1, 2, 3].map(async () => (await makeProject(world, person)).scope))
  const random = randomOf(seed)
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!
  const endsAt = performance.now() + durationMs

  let written = 0
  const startedAt = performance.now()
  const write = async (): Promise<void> => {
    while (performance.now() < endsAt) {
      const count = 1 + Math.floor(random() * 3)
      written += count
      // Sometimes of a scope nobody hears, so that numbers jump.
      const scope = random() < 0.1 ? projectScope(Bun.randomUUIDv7()) : pick(scopes)
      await say(pick(servers).deps, ...Array.from({ length: count }, () => entry(scope, { written })))
      const due = startedAt + (written / entriesPerSecond) * 1000
      await Bun.sleep(Math.max(0, due - performance.now()))
    }
  }

  const sessions: Session[] = []
  let positions = 0
  const listen = async (
    socket: TestSocket,
    known: Map<Scope, number>,
    epoch: { is: string },
    forMs: number,
  ): Promise<void> => {
    const scope = pick(scopes)
    const held = random() < 0.7 ? known.get(scope) : undefined
    const shard = held === undefined ? 0 : shardOfScope.get(scope)!
    const first = socket.frames.length
    const rid = Bun.randomUUIDv7()
    socket.send({ t: 'sub', rid, scope, cursor: held === undefined ? null : `${epoch.is}.${shard}.${held}` })
    const answer = await socket.take((frame) => frame.rid === rid, 10_000)
    expect(answer).toMatchObject({ t: 'sub', mode: held === undefined ? 'fresh' : 'resume' })
    const [is, number] = answer.cursor.split('.')
    epoch.is = is
    shardOfScope.set(scope, Number(number))
    const toTheEnd = performance.now() + forMs > endsAt
    await Bun.sleep(forMs)
    if (toTheEnd) {
      await Promise.all([writing, ...servers.map(caughtUp)])
      // A fan-out in slices may still hold the last ones, which an unsub would make needless.
      const last = (await world.entries(scope)).findLast(({ frame }) => frame !== null)!.seq
      const isHere = (frame: Frame): boolean =>
        frame === answer || (frame.t === 'event' && frame.scope === scope)
      await eventually(() =>
        expect(Math.max(...socket.frames.slice(first).filter(isHere).map(seqOf))).toBeGreaterThanOrEqual(
          last,
        ),
      )
    }
    // A round trip: what was sent before is here.
    const bye = Bun.randomUUIDv7()
    socket.send({ t: 'unsub', rid: bye, scope })
    await socket.take((frame) => frame.rid === bye, 10_000)
    const frames = socket.frames.slice(first)
    const start = frames.indexOf(answer)
    const heard = frames.slice(start).filter((frame) => frame.t === 'event' && frame.scope === scope)
    sessions.push({ scope, from: seqOf(answer), heard: heard.map(seqOf), toTheEnd })
    known.set(scope, seqOf(heard.at(-1) ?? answer))
    // P-SUB-10: what a position claims was sent before it, and nothing up to it comes after.
    let events = 0
    let claimed = seqOf(answer)
    for (const frame of frames.slice(start).filter((frame) => frame.scope === scope)) {
      if (frame.t === 'event') {
        events += 1
        expect(seqOf(frame)).toBeGreaterThan(claimed)
      } else if (frame.t === 'position') {
        positions += 1
        claimed = seqOf(frame)
        expect(claimed).toBeGreaterThanOrEqual(seqOf(heard[events - 1] ?? answer))
        expect(frame.count).toBe(events)
      }
    }
  }

  const shardOfScope = new Map<Scope, number>()
  const live = async (): Promise<void> => {
    const known = new Map<Scope, number>()
    const epoch = { is: '' }
    while (performance.now() < endsAt - 100) {
      await using socket = await openSocket(pick(servers).url, { token: person.token })
      await socket.take('welcome', 10_000)
      const rounds = 1 + Math.floor(random() * 3)
      for (let round = 0; round < rounds && performance.now() < endsAt - 100; round += 1)
        await listen(socket, known, epoch, random() * 700)
    }
  }

  const writing = Promise.all(Array.from({ length: 6 }, write))
  await Promise.all([writing, ...Array.from({ length: clients }, live)])

  const logs = new Map<Scope, number[]>()
  for (const scope of scopes)
    logs.set(
      scope,
      (await world.entries(scope)).filter(({ frame }) => frame !== null).map(({ seq }) => seq),
    )
  let heardInAll = 0
  for (const { scope, from, heard, toTheEnd } of sessions) {
    const log = logs.get(scope)!
    const to = toTheEnd ? log.at(-1)! : (heard.at(-1) ?? from)
    expect(heard).toEqual(log.filter((seq) => seq > from && seq <= to))
    heardInAll += heard.length
  }
  const rate = written / (durationMs / 1000)
  console.log(
    `${written} entries (${rate}/s), ${sessions.length} sessions, ${heardInAll} events, seed ${seed}`,
  )
  expect(sessions.length).toBeGreaterThan(clients)
  expect(sessions.some(({ toTheEnd }) => toTheEnd)).toBe(true)
  expect(heardInAll).toBeGreaterThan(written)
  expect(positions).toBeGreaterThan(sessions.length)
  expect(servers.map(({ deps }) => deps.follower.scopeCount)).toEqual([0, 0])
}, 60_000)
