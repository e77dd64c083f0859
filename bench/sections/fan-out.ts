// Thousands of sockets of one project on one server process: what one costs idle, how fast they come, and a change to all
// of them. The same load follows a raw Bun server in the same run: that is the limit.
import type { Cluster } from '../../test/support/cluster.ts'
import { openSocket } from '../../test/support/socket.ts'
import { startSwarm, type Swarm } from '../../test/support/swarm.ts'
import type { Context, Section } from '../context.ts'
import { call, registerPeople, type Person } from '../people.ts'
import { cpuMs, settledBytes } from '../processes.ts'
import type { Row } from '../row.ts'
import { median, rounded } from '../statistics.ts'
import { startHelper } from '../workbench.ts'
import { atOnce, seatOf, untilReceived } from './swarms.ts'

export const fanOutRows = [
  {
    id: 'socket-memory',
    title: 'memory of an idle socket, all state included',
    targets: [{ figure: 'eachKb', atMost: 6 }],
  },
  { id: 'connects', title: 'connect, sign in, subscribe', targets: [] },
  {
    id: 'fan-out',
    title: 'one change to 5,000 sockets while changes keep coming, against raw Bun',
    targets: [{ figure: 'ratio', atLeast: 0.95 }],
  },
  {
    id: 'fan-out-rested',
    title: 'the same after half a second of rest',
    targets: [{ figure: 'ratio', atLeast: 0.95 }],
  },
  { id: 'frame-cpu', title: 'server CPU time of one frame', targets: [] },
] as const satisfies Row[]

/** Changes before those that count, for the code to be compiled. */
const warmUps = 10
/** Longer than a fan-out takes; with the sampling around it, half a second of rest between two pairs. */
const undisturbedMs = 100

interface Raw {
  url: string
  pid: number
}

interface FanOut {
  /** From the first socket that received the change to the last. */
  spreadMs: number
  /** What the change cost the server's process, request and all. */
  cpuMs: number
}

/** Two in a row: what rested takes longer, the request that makes the change above all. */
interface Pair {
  first: FanOut
  next: FanOut
}

type Both = Record<'ours' | 'raw', Pair>

const run = async (context: Context): Promise<void> => {
  await using stack = new AsyncDisposableStack()
  // New processes: memory that an earlier load left free would be used by the sockets and not be seen.
  const cluster = stack.use(await context.install())
  const people = await registerPeople(cluster.servers[0]!.url, 1)
  const raw = await startHelper(stack, 'raw-sockets.ts', { isCollectable: true })
  await idleAndFanOut(context, cluster, people.users[0]!, raw)
}

const idleAndFanOut = async (context: Context, cluster: Cluster, person: Person, raw: Raw): Promise<void> => {
  const { plan, report } = context
  const server = cluster.servers[0]!
  await using ours = await startSwarm([server.url], [seatOf(person)])
  await using limit = await startSwarm([raw.url], [seatOf(person)])
  report(`${plan.sockets} sockets, on raw Bun and on the server`)
  const theirs = await fill(limit, raw.pid, plan.sockets)
  const mine = await fill(ours, server.pid, plan.sockets)
  const add = (row: string, figures: Record<string, number>, ...notes: string[]): void =>
    context.add({ row, figures, failed: 0, notes: [`${plan.sockets} sockets`, ...notes] })
  add(
    'socket-memory',
    { eachKb: rounded(mine.eachBytes / 1024) },
    `raw Bun ${rounded(theirs.eachBytes / 1024)} KB`,
  )
  add(
    'connects',
    { perSecond: Math.round(mine.perSecond) },
    `raw Bun ${Math.round(theirs.perSecond)}/s without sign-in`,
  )
  if (!context.wants('fan-out', 'fan-out-rested', 'frame-cpu')) return
  report(`${plan.changes} changes to all of them, two in a row on either`)
  const rounds = await changes(context, { ours, limit, raw, server, person })
  for (const [row, when] of [
    ['fan-out', 'next'],
    ['fan-out-rested', 'first'],
  ] as const)
    add(row, {
      ratio: rounded(median(rounds.map((both) => both.raw[when].spreadMs / both.ours[when].spreadMs))),
      spreadMs: rounded(median(rounds.map(({ ours: own }) => own[when].spreadMs))),
      rawSpreadMs: rounded(median(rounds.map((both) => both.raw[when].spreadMs))),
    })
  const perFrame = (which: keyof Both): number =>
    rounded(
      (rounds.reduce((sum, round) => sum + round[which].first.cpuMs + round[which].next.cpuMs, 0) * 1000) /
        (plan.changes * plan.sockets),
    )
  add('frame-cpu', { serverCpuUs: perFrame('ours'), rawCpuUs: perFrame('raw') })
  for (const [name, swarm] of [
    ['Tasktide', ours],
    ['raw Bun, the same frames', limit],
  ] as const)
    context.curve({ plot: 'fan-out', name, points: shares((await swarm.report()).trace) })
}

interface Places {
  ours: Swarm
  limit: Swarm
  raw: Raw
  server: { url: string; pid: number }
  person: Person
}

const changes = async (context: Context, { ours, limit, raw, server, person }: Places): Promise<Both[]> => {
  const { plan } = context
  const frameOf = await exampleFrame(server.url, person)
  const start = (await ours.report()).written
  const startOfRaw = (await limit.report()).written
  const rounds: Both[] = []
  for (let round = 1; round <= (warmUps + plan.changes) / 2; round += 1) {
    const pair = async (one: (nth: number, received: number) => Promise<FanOut>): Promise<Pair> => ({
      first: await one(2 * round - 1, (2 * round - 1) * plan.sockets),
      next: await one(2 * round, 2 * round * plan.sockets),
    })
    const both = {
      raw: await pair((nth, due) =>
        fanOut(limit, raw.pid, startOfRaw + due, () =>
          fetch(raw.url, { method: 'POST', body: frameOf(nth) }),
        ),
      ),
      ours: await pair((nth, due) =>
        fanOut(ours, server.pid, start + due, () => createTask(server.url, person, nth)),
      ),
    }
    if (round > warmUps / 2) rounds.push(both)
  }
  return rounds
}

/** One change, until `received` events have come in all. Meanwhile no process is queried: replies cost time too. */
const fanOut = async (
  swarm: Swarm,
  pid: number,
  received: number,
  change: () => Promise<unknown>,
): Promise<FanOut> => {
  await swarm.execute({ do: 'forget', traces: true })
  const before = cpuMs(pid)
  await change()
  await Bun.sleep(undisturbedMs)
  const after = cpuMs(pid)
  await untilReceived(swarm, received)
  return { spreadMs: (await swarm.report()).fanOut.meanMs, cpuMs: after - before }
}

/** The share of sockets, in percent, that had received the change after this many milliseconds: 40 points. */
const shares = (trace: number[]): [number, number][] => {
  const sorted = trace.toSorted((a, b) => a - b)
  return Array.from({ length: 41 }, (_, index) => {
    const place = Math.round((index / 40) * (sorted.length - 1))
    return [rounded(sorted[place] ?? 0), ((place + 1) / Math.max(1, sorted.length)) * 100]
  })
}

export const createTask = (
  url: string,
  { token, projectId }: Pick<Person, 'token' | 'projectId'>,
  index: number,
): Promise<unknown> => call(url, 'POST', '/api/tasks', token, { projectId, title: `Measured ${index}` })

/** The server's own frame for a new task, as the raw server is to send it in a round. */
const exampleFrame = async (url: string, person: Person): Promise<(round: number) => string> => {
  await using socket = await openSocket(url, { token: person.token })
  socket.send({ t: 'sub', rid: 1, scope: `project:${person.projectId}`, cursor: null })
  await socket.take('synced')
  await createTask(url, person, 0)
  const event = await socket.take('event')
  return (round) =>
    JSON.stringify({ ...event, cursor: `${event.cursor}${round}`, at: new Date().toISOString() })
}

/** A tenth warms the process up, the rest is what is weighed and timed. */
const fill = async (
  swarm: Swarm,
  pid: number,
  count: number,
): Promise<{ eachBytes: number; perSecond: number }> => {
  const first = Math.floor(count / 10)
  await swarm.execute({ do: 'open', count: first, atOnce })
  const before = await settledBytes(pid)
  const began = performance.now()
  await swarm.execute({ do: 'open', count: count - first, atOnce })
  const seconds = (performance.now() - began) / 1000
  return {
    eachBytes: ((await settledBytes(pid)) - before) / (count - first),
    perSecond: (count - first) / seconds,
  }
}

export const fanOutSection: Section = { name: 'fan-outs', rows: fanOutRows, run }
