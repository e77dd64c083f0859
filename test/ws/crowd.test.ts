// Many subscribers behind at once, with more frames than the ring keeps: the log is read once for all, a few pages at a
// time, and a subscriber that is behind while PostgreSQL is away keeps its position.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { RunningServer } from '../../src/app/compose.ts'
import type { Scope } from '../../src/model/scope.ts'
import { unavailable } from '../../src/errors.ts'
import { eventually } from '../support/eventually.ts'
import { openSocket, type Frame } from '../support/socket.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { untilCaughtUp, makeProject, appendMany } from './log-writes.ts'

const count = 1_000
const bytes = 8_000
const pageNumbers = 128

let world: World
let late: RunningServer
let anna: Person
let scope: Scope
let cursors: string[]

beforeAll(async () => {
  world = await startWorld()
  anna = await world.register()
  ;({ scope } = await makeProject(world, anna))
  await appendMany(world.server.deps, scope, count, bytes)
  await untilCaughtUp(world.server)
  cursors = (await world.entries(scope)).map(({ frame }) => JSON.parse(frame!).cursor)
}, 60_000)
afterAll(() => world[Symbol.asyncDispose]())

/** Everything that follows the cursor, by cursor. */
const collectAfter = async (url: string, cursor: string): Promise<string[]> => {
  await using socket = await openSocket(url, { token: anna.token })
  socket.send({ t: 'sub', rid: 1, scope, cursor })
  await socket.take('synced', 20_000)
  return socket.frames.filter(({ t }) => t === 'event').map((frame: Frame) => frame.cursor)
}

test.each(['the stream', 'the log'])(
  'many subscribers read each page of %s once (P-CUR-2)',
  async (where) => {
    late = await world.another({ socketsPerUser: 100 })
    if (where === 'the log') await late.deps.follower.history.sources.redis.flushall()
    const { replays } = late.deps.stats
    let underWay = 0
    let most = 0
    const { sources } = late.deps.follower.history
    const { db } = sources
    sources.db = {
      of: (caller) => ({
        ...db.of(caller),
        async read(work, options) {
          most = Math.max(most, (underWay += 1))
          return db
            .of(caller)
            .read(work, options)
            .finally(() => (underWay -= 1))
        },
      }),
    }
    const places = Array.from({ length: 40 }, (_, n) => n * 7)
    const received = await Promise.all(places.map((place) => collectAfter(late.url, cursors[place]!)))
    for (const [n, place] of places.entries()) expect(received[n]).toEqual(cursors.slice(place + 1))
    const pages = Math.ceil(count / pageNumbers) + 1
    // The last page is not full and not memoised: each subscriber may read it.
    expect(replays.log + replays.stream).toBeLessThanOrEqual(pages + places.length)
    expect(replays.shared).toBeGreaterThan(places.length * (pages - 5))
    expect(most).toBeLessThanOrEqual(4)
    await late[Symbol.asyncDispose]()
  },
)

test('a subscriber that is behind while PostgreSQL is away keeps its position and continues (P-SUB-3)', async () => {
  late = await world.another()
  const { sources } = late.deps.follower.history
  await sources.redis.flushall()
  const { db } = sources
  let refused = 0
  let isAway = true
  sources.db = {
    of: (caller) => ({
      ...db.of(caller),
      async read(work, options) {
        if (!isAway) return db.of(caller).read(work, options)
        refused += 1
        throw unavailable(new Error('away'))
      },
    }),
  }
  const received = collectAfter(late.url, cursors[0]!)
  await eventually(() => expect(refused).toBeGreaterThan(2))
  isAway = false
  expect(await received).toEqual(cursors.slice(1))
  expect(late.deps.stats.sockets).toBeLessThanOrEqual(1)
  await late[Symbol.asyncDispose]()
})
