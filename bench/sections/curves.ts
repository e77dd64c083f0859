// Growth that is measured only where it is asked for: one change as the sockets of a project grow, and a socket that comes
// back as the entries it missed grow, with the snapshot that it reads where they are too many.
import { SQL } from 'bun'
import { openSocket, type Frame, type TestSocket } from '../../test/support/socket.ts'
import { startSwarm } from '../../test/support/swarm.ts'
import { maxReplayEntries } from '../../src/domain/sync.ts'
import type { Context, Section } from '../context.ts'
import { call, makeProject, makeTasks, type Person } from '../people.ts'
import type { Row } from '../row.ts'
import { median, rounded } from '../statistics.ts'
import { createTask } from './fan-out.ts'
import { atOnce, seatOf, untilReceived } from './swarms.ts'

export const curveRows = [
  { id: 'growth-listeners', title: 'one change to 100 up to 10,000 sockets', targets: [] },
  {
    id: 'growth-backlog',
    title: 'a socket comes back after missing 1,000 up to 100,000 entries',
    targets: [],
  },
] as const satisfies Row[]

const listeners = { quick: [100, 300], whole: [100, 300, 1_000, 3_000, 10_000] }
const backlogs = { quick: [300, 1_000], whole: [1_000, 3_000, 10_000, 30_000, 100_000] }
const repeats = 9

const run = async (context: Context): Promise<void> => {
  const isNamed = context.isNamed('curves', ...curveRows.map(({ id }) => id))
  if (!context.hasCurves && !isNamed) return
  const bench = await context.workbench()
  await bench.people.renew()
  if (context.wants('growth-listeners')) await growthOfListeners(context)
  if (context.wants('growth-backlog')) await growthOfBacklog(context)
}

const sizesOf = (sizes: { quick: number[]; whole: number[] }, { plan }: Context): number[] =>
  plan.isQuick ? sizes.quick : sizes.whole

/** @returns how the time per piece grew from the first size to the last: 1 is linear. */
const growthOf = (points: [number, number][]): number => {
  const [first, last] = [points[0]!, points.at(-1)!]
  return rounded(last[1] / last[0] / (first[1] / first[0]))
}

const growthOfListeners = async (context: Context): Promise<void> => {
  const { url, people } = await context.workbench()
  const person = people.users[4]!
  await using swarm = await startSwarm([url], [seatOf(person)])
  const points: [number, number][] = []
  let open = 0
  for (const count of sizesOf(listeners, context)) {
    context.report(`one change to ${count} sockets`)
    await swarm.execute({ do: 'open', count: count - open, atOnce })
    open = count
    const spreads: number[] = []
    for (let repeat = 0; repeat < repeats; repeat += 1) {
      await swarm.execute({ do: 'forget' })
      const { written } = await swarm.report()
      await createTask(url, person, repeat)
      await untilReceived(swarm, written + count)
      spreads.push((await swarm.report()).fanOut.meanMs)
    }
    points.push([count, rounded(median(spreads))])
  }
  context.curve({ plot: 'growth-listeners', name: 'from the first socket to the last', points })
  context.add({
    row: 'growth-listeners',
    figures: {
      ...Object.fromEntries(points.map(([x, y]) => [`at${x}Ms`, y])),
      growthRatio: growthOf(points),
    },
    failed: 0,
    notes: ['the ratio compares the time for each socket at most and at least sockets: 1 is linear'],
  })
}

/** What a client does that comes back: subscribes from its cursor or, where that is too far behind, from a snapshot. */
const untilLive = async (
  socket: TestSocket,
  url: string,
  { token }: Pick<Person, 'token'>,
  scope: string,
  cursor: string,
): Promise<void> => {
  const subscribe = async (from: string): Promise<Frame> => {
    socket.send({ t: 'sub', rid: 1, scope, cursor: from })
    return socket.take(({ t }) => t === 'synced' || t === 'resync', 120_000)
  }
  const answer = await subscribe(cursor)
  if (answer.t === 'synced') return
  let page = await call(url, 'GET', `${answer['snapshot']}?limit=5000`, token)
  const from: string = page.cursor
  while (page.nextAfter !== null)
    page = await call(url, 'GET', `${answer['snapshot']}?limit=5000&after=${page.nextAfter}`, token)
  if ((await subscribe(from)).t !== 'synced') throw new Error('a snapshot was outdated when it was read')
}

const growthOfBacklog = async (context: Context): Promise<void> => {
  const { url, people, cluster } = await context.workbench()
  const owner = people.users[5]!
  const points: [number, number][] = []
  const projectId = await makeProject(url, owner.token, 'Backlog')
  const scope = `project:${projectId}`
  const { cursor } = await call(url, 'GET', `/api/projects/${projectId}/snapshot?limit=1`, owner.token)
  await using sql = new SQL({ url: cluster.databaseUrl, max: 1 })
  for (const count of sizesOf(backlogs, context)) {
    context.report(`a socket that missed ${count} entries`)
    const [{ made }]: [{ made: number }] = await sql`
      select count(*)::int as made from feed where scope = ${scope}`
    await makeTasks(url, owner, projectId, count - made)
    const times: number[] = []
    for (let repeat = 0; repeat < 3; repeat += 1) {
      await using socket = await openSocket(url, { token: owner.token })
      await socket.take('welcome')
      const began = performance.now()
      await untilLive(socket, url, owner, scope, cursor)
      times.push(performance.now() - began)
    }
    points.push([count, rounded(median(times))])
  }
  context.curve({ plot: 'growth-backlog', name: 'until the socket is live', points })
  context.add({
    row: 'growth-backlog',
    figures: {
      ...Object.fromEntries(points.map(([x, y]) => [`at${x}Ms`, y])),
      growthRatio: growthOf(points),
    },
    failed: 0,
    notes: [
      'the ratio compares the time for each entry at most and at least entries: 1 is linear',
      `beyond ${maxReplayEntries} entries the answer is \`resync\`: the time is that of the snapshot and its subscription`,
    ],
  })
}

export const curveSection: Section = { name: 'curves', rows: curveRows, isLong: true, run }
