// Clients that join and leave while some 500 entries a second are written: every session receives each visible number
// exactly once, in order, from the cursor it began at. The reference is the table `feed`.
import { projectScope, type Scope } from '../../src/model/scope.ts'
import { expect, test } from 'bun:test'
import { randomOf, seed } from '../changelog/seed.ts'
import { eventually } from '../support/eventually.ts'
import { startPacedLoad } from '../support/paced-load.ts'
import { openSocket, type Frame, type TestSocket } from '../support/socket.ts'
import { startWorld, type Person } from '../support/world.ts'
import { untilCaughtUp, entry, makeProject, appendEntries } from './log-writes.ts'

const totalEntries = 2_500
const writers = 6
/** Six writers with two entries on average: 500 entries a second. */
const writeEveryMs = 24
const clients = 24
/** The longest session, in entries written meanwhile. */
const maxSessionEntries = 350

/** What one subscription received. */
interface Session {
  scope: Scope
  from: number
  received: number[]
  /** Whether it stayed until everything was written, so that it must have received all that followed `from`. */
  toTheEnd: boolean
}

const seqOf = ({ cursor }: Frame): number => Number(cursor.split('.')[2])

test('a subscription joined at any moment with any cursor misses nothing and receives nothing twice (P-SUB-3)', async () => {
  await using world = await startWorld({ socketsPerUser: 100 })
  // A server that delivers late, as a fan-out to thousands would, and sends positions all the time.
  await using second = await world.another(
    {},
    { fanOutSliceMs: 0, positionIntervalMs: 0, sweepIntervalMs: 1 },
  )
  const servers = [world.server, second]
  const person: Person = await world.register()
  const scopes = await Promise.all([1, 2, 3].map(async () => (await makeProject(world, person)).scope))
  const random = randomOf(seed)
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!

  let written = 0
  const write = async (): Promise<void> => {
    if (written >= totalEntries) return
    const count = 1 + Math.floor(random() * 3)
    written += count
    // Sometimes of a scope without a subscriber, so that numbers jump.
    const scope = random() < 0.1 ? projectScope(Bun.randomUUIDv7()) : pick(scopes)
    await appendEntries(pick(servers).deps, ...Array.from({ length: count }, () => entry(scope, { written })))
  }
  const untilWritten = (count: number): Promise<void> =>
    eventually(() => expect(written).toBeGreaterThanOrEqual(Math.min(count, totalEntries)), {
      timeoutMs: 30_000,
      everyMs: 20,
    })

  const sessions: Session[] = []
  let positions = 0
  const listen = async (
    socket: TestSocket,
    known: Map<Scope, number>,
    epoch: { is: string },
    forEntries: number,
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
    const until = written + forEntries
    const toTheEnd = until > totalEntries
    await untilWritten(until)
    if (toTheEnd) {
      await Promise.all([writing, ...servers.map(untilCaughtUp)])
      // A fan-out in slices may still hold the last entries, which an unsub would drop.
      const last = (await world.entries(scope)).findLast(({ frame }) => frame !== null)!.seq
      const isHere = (frame: Frame): boolean =>
        frame === answer || (frame.t === 'event' && frame.scope === scope)
      await eventually(() =>
        expect(Math.max(...socket.frames.slice(first).filter(isHere).map(seqOf))).toBeGreaterThanOrEqual(
          last,
        ),
      )
    }
    // A round trip: what was sent before it has arrived.
    const bye = Bun.randomUUIDv7()
    socket.send({ t: 'unsub', rid: bye, scope })
    await socket.take((frame) => frame.rid === bye, 10_000)
    const frames = socket.frames.slice(first)
    const start = frames.indexOf(answer)
    const received = frames.slice(start).filter((frame) => frame.t === 'event' && frame.scope === scope)
    sessions.push({ scope, from: seqOf(answer), received: received.map(seqOf), toTheEnd })
    known.set(scope, seqOf(received.at(-1) ?? answer))
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
        expect(claimed).toBeGreaterThanOrEqual(seqOf(received[events - 1] ?? answer))
        expect(frame.count).toBe(events)
      }
    }
  }

  const shardOfScope = new Map<Scope, number>()
  const hasTime = (): boolean => written < totalEntries - 50
  const live = async (): Promise<void> => {
    const known = new Map<Scope, number>()
    const epoch = { is: '' }
    while (hasTime()) {
      await using socket = await openSocket(pick(servers).url, { token: person.token })
      await socket.take('welcome', 10_000)
      const rounds = 1 + Math.floor(random() * 3)
      for (let round = 0; round < rounds && hasTime(); round += 1)
        await listen(socket, known, epoch, random() * maxSessionEntries)
    }
  }

  const loads = Array.from({ length: writers }, () => startPacedLoad(writeEveryMs, write))
  const writing = (async () => {
    try {
      await untilWritten(totalEntries)
    } finally {
      await Promise.all(loads.map((load) => load.stop()))
    }
  })()
  await Promise.all([writing, ...Array.from({ length: clients }, live)])

  const logs = new Map<Scope, number[]>()
  for (const scope of scopes)
    logs.set(
      scope,
      (await world.entries(scope)).filter(({ frame }) => frame !== null).map(({ seq }) => seq),
    )
  let receivedInAll = 0
  for (const { scope, from, received, toTheEnd } of sessions) {
    const log = logs.get(scope)!
    const to = toTheEnd ? log.at(-1)! : (received.at(-1) ?? from)
    expect(received).toEqual(log.filter((seq) => seq > from && seq <= to))
    receivedInAll += received.length
  }
  console.log(`${written} entries, ${sessions.length} sessions, ${receivedInAll} events, seed ${seed}`)
  expect(sessions.length).toBeGreaterThan(clients)
  expect(sessions.some(({ toTheEnd }) => toTheEnd)).toBe(true)
  expect(receivedInAll).toBeGreaterThan(written)
  expect(positions).toBeGreaterThan(sessions.length)
  expect(servers.map(({ deps }) => deps.follower.scopeCount)).toEqual([0, 0])
}, 60_000)
