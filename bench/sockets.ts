// Thousands of sockets on one server process: idle cost, connect rate, fan-out of one change, age of events on arrival,
// the effect of clients that stop reading on the others, and the return of all after kill -9. The same load runs
// against a raw Bun server in the same run, as the limit.
import { join } from 'node:path'
import { startCluster, type Cluster } from '../test/support/cluster.ts'
import { eventually } from '../test/support/eventually.ts'
import { openSocket } from '../test/support/socket.ts'
import { startSwarm, type Seat, type Swarm } from '../test/support/swarm.ts'
import { populate, type Population } from './populate.ts'
import { cpuMs, residentBytes, settledBytes } from './process-facts.ts'

export interface SocketFigure {
  name: string
  value: string
  target: string
}

const plans = {
  whole: { sockets: 5_000, changes: 100, followers: 1_000, seconds: 15, stalled: 1_000, returning: 10_000 },
  quick: { sockets: 1_000, changes: 30, followers: 300, seconds: 5, stalled: 200, returning: 1_000 },
}
type Plan = typeof plans.whole

const atOnce = 100
const writesPerSecond = 200
/** Changes before the measured ones, so that the code is compiled. */
const warmUps = 20
/** Longer than a fan-out takes. */
const undisturbedMs = 100

export const measureSockets = async (
  isQuick: boolean,
  report: (line: string) => void,
): Promise<SocketFigure[]> => {
  const plan = isQuick ? plans.quick : plans.whole
  await using stack = new AsyncDisposableStack()
  const preload = `--preload ${join(import.meta.dir, 'collect.ts')}`
  const environment = { BUN_OPTIONS: preload, SOCKETS_PER_USER: '100000', MAX_CONNECTIONS: '20000' }
  const cluster = stack.use(await startCluster({ servers: 1, workers: 1, environment, report }))
  const people = await populate(cluster.servers[0]!.url, 0)
  const raw = await startRaw(stack)
  return [
    ...(await idleAndFanOut(cluster, people, raw, plan, report)),
    ...(await latency(cluster, people, plan, report)),
    ...(await stalledReaders(cluster, people, plan, report)),
    ...(await reconnects(cluster, people, plan, report)),
  ]
}

interface Raw {
  url: string
  pid: number
}

const startRaw = async (stack: AsyncDisposableStack): Promise<Raw> => {
  const child = Bun.spawn(
    [
      process.execPath,
      '--preload',
      join(import.meta.dir, 'collect.ts'),
      join(import.meta.dir, 'raw-sockets.ts'),
    ],
    { stdout: 'pipe', stderr: 'inherit' },
  )
  stack.defer(async () => {
    child.kill()
    await child.exited
  })
  const { value } = await child.stdout.getReader().read()
  return { url: new TextDecoder().decode(value).trim(), pid: child.pid }
}

const seatOf = ({ token, projectId }: Population['users'][number]): Seat => ({
  token,
  scope: `project:${projectId}`,
  cursor: null,
})

const kilobytes = (bytes: number): string => `${(bytes / 1024).toFixed(1)} KB`

/** Sockets of one project on either server: the cost of one, the connect rate, the fan-out time of a change. */
const idleAndFanOut = async (
  cluster: Cluster,
  people: Population,
  raw: Raw,
  plan: Plan,
  report: (line: string) => void,
): Promise<SocketFigure[]> => {
  const server = cluster.servers[0]!
  const person = people.users[0]!
  const frameOf = await exampleFrame(server.url, person)
  await using ours = await startSwarm([server.url], [seatOf(person)])
  await using limit = await startSwarm([raw.url], [seatOf(person)])
  report(`${plan.sockets} sockets, on raw Bun and on the server`)
  const theirs = await fill(limit, raw.pid, plan.sockets)
  const mine = await fill(ours, server.pid, plan.sockets)

  report(`${plan.changes} changes to all of them, two in a row on either`)
  const rounds: Record<'ours' | 'raw', Pair>[] = []
  for (let round = 1; round <= (warmUps + plan.changes) / 2; round += 1) {
    const received = 2 * round * plan.sockets
    const pair = async (one: (nth: number, received: number) => Promise<FanOut>): Promise<Pair> => ({
      first: await one(2 * round - 1, received - plan.sockets),
      next: await one(2 * round, received),
    })
    const both = {
      raw: await pair((nth, due) =>
        fanOut(limit, raw.pid, due, () => fetch(raw.url, { method: 'POST', body: frameOf(nth) })),
      ),
      ours: await pair((nth, due) =>
        fanOut(ours, server.pid, due, () => createTask(server.url, person, nth)),
      ),
    }
    if (round > warmUps / 2) rounds.push(both)
  }
  const spreadMs = (which: 'ours' | 'raw', when: keyof Pair): number =>
    median(rounds.map((round) => round[which][when].spreadMs))
  const cpu = (which: 'ours' | 'raw'): number =>
    rounds.reduce((sum, round) => sum + round[which].first.cpuMs + round[which].next.cpuMs, 0)
  const fanOutFigure = (when: keyof Pair, name: string): SocketFigure => {
    const ratio = median(rounds.map(({ raw, ours }) => raw[when].spreadMs / ours[when].spreadMs))
    const both = `${spreadMs('ours', when).toFixed(1)} and ${spreadMs('raw', when).toFixed(1)} ms`
    return {
      name,
      value: `${ratio.toFixed(2)} x raw Bun (${both} from the first to the last; medians of ${rounds.length})`,
      target: 'at least 0.9 x',
    }
  }
  const perFrame = (ms: number): string => `${((ms * 1000) / (plan.changes * plan.sockets)).toFixed(1)} µs`
  return [
    {
      name: 'memory of an idle socket',
      value: `${kilobytes(mine.each)} (raw Bun ${kilobytes(theirs.each)})`,
      target: 'at most 10 KB',
    },
    {
      name: 'connect, sign in, subscribe',
      value: `${mine.perSecond.toFixed(0)}/s (raw Bun ${theirs.perSecond.toFixed(0)}/s)`,
      target: '-',
    },
    fanOutFigure('next', `a change to ${plan.sockets} sockets`),
    fanOutFigure('first', 'the same after half a second of rest'),
    {
      name: 'server CPU a frame',
      value: `${perFrame(cpu('ours'))} (raw Bun ${perFrame(cpu('raw'))})`,
      target: '-',
    },
  ]
}

interface FanOut {
  /** From the first socket that received the change to the last. */
  spreadMs: number
  /** CPU time of the server's process for the change, with its request. */
  cpuMs: number
}

/** Two in a row: after a rest all takes longer, most of all the request that makes the change. */
interface Pair {
  first: FanOut
  next: FanOut
}

/** One change, until `received` events have arrived in all. No process is queried meanwhile: replies cost time too. */
const fanOut = async (
  swarm: Swarm,
  pid: number,
  received: number,
  change: () => Promise<unknown>,
): Promise<FanOut> => {
  await swarm.execute({ do: 'forget' })
  const before = cpuMs(pid)
  await change()
  await Bun.sleep(undisturbedMs)
  const after = cpuMs(pid)
  await untilReceived(swarm, received)
  return { spreadMs: (await swarm.report()).fanOut.meanMs, cpuMs: after - before }
}

/** The server's own frame for a new task, as the raw server is to send it in a round. */
const exampleFrame = async (
  url: string,
  person: Population['users'][number],
): Promise<(round: number) => string> => {
  await using socket = await openSocket(url, { token: person.token })
  socket.send({ t: 'sub', rid: 1, scope: `project:${person.projectId}` })
  await socket.take('synced')
  await createTask(url, person, 0)
  const event = await socket.take('event')
  return (round) =>
    JSON.stringify({ ...event, cursor: `${event.cursor}${round}`, at: new Date().toISOString() })
}

const median = (numbers: number[]): number => numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? NaN

/** A tenth warms the process up, the rest is measured. */
const fill = async (
  swarm: Swarm,
  pid: number,
  count: number,
): Promise<{ each: number; perSecond: number }> => {
  const first = Math.floor(count / 10)
  await swarm.execute({ do: 'open', count: first, atOnce })
  const before = await settledBytes(pid)
  const began = performance.now()
  await swarm.execute({ do: 'open', count: count - first, atOnce })
  const seconds = (performance.now() - began) / 1000
  return {
    each: ((await settledBytes(pid)) - before) / (count - first),
    perSecond: (count - first) / seconds,
  }
}

const untilReceived = (swarm: Swarm, events: number): Promise<void> =>
  eventually(
    async () => {
      const report = await swarm.report()
      if (report.events < events) throw new Error(`${report.events} of ${events} frames came`)
    },
    { timeoutMs: 30_000, everyMs: 20 },
  )

const createTask = async (
  url: string,
  { token, projectId }: Population['users'][number],
  index: number,
  description = '',
): Promise<{ status: number; data: any }> => {
  const response = await fetch(`${url}/api/tasks`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
    body: JSON.stringify({ projectId, title: `Measured ${index}`, ...(description && { description }) }),
    signal: AbortSignal.timeout(10_000),
  })
  return { status: response.status, data: await response.json() }
}

/** Writes at a fixed rate, open loop; returns how many writes were acknowledged. */
const write = async (
  url: string,
  users: Population['users'],
  { seconds, perSecond, bytes = 0 }: { seconds: number; perSecond: number; bytes?: number },
): Promise<number> => {
  const began = performance.now()
  const description = 'x'.repeat(bytes)
  const writing: Promise<boolean>[] = []
  for (let index = 0; index < seconds * perSecond; index += 1) {
    const due = began + (index * 1000) / perSecond - performance.now()
    if (due > 0) await Bun.sleep(due)
    const user = users[index % users.length]!
    writing.push(
      createTask(url, user, index, description).then(
        ({ status }) => status === 201,
        () => false,
      ),
    )
  }
  return (await Promise.all(writing)).filter(Boolean).length
}

/** Many projects at once: every event's age on arrival. */
const latency = async (
  cluster: Cluster,
  people: Population,
  plan: Plan,
  report: (line: string) => void,
): Promise<SocketFigure[]> => {
  const { url } = cluster.servers[0]!
  await using swarm = await startSwarm([url], people.users.map(seatOf))
  await swarm.execute({ do: 'open', count: plan.followers, atOnce })
  report(`${writesPerSecond} writes/s, ${plan.followers} sockets in ${people.users.length} projects`)
  await write(url, people.users, { seconds: 2, perSecond: writesPerSecond })
  await swarm.execute({ do: 'forget' })
  const before = (await swarm.report()).events
  const written = await write(url, people.users, { seconds: plan.seconds, perSecond: writesPerSecond })
  const expected = before + (written * plan.followers) / people.users.length
  await untilReceived(swarm, expected)
  const { ages } = await swarm.report()
  return [
    {
      name: `commit to socket, ${writesPerSecond} writes/s, ${plan.followers} sockets`,
      value: `p50 ${ages.p50} ms, p99 ${ages.p99} ms, max ${ages.max} ms (${ages.count} events)`,
      target: 'p50 under 2 ms, p99 under 20 ms',
    },
  ]
}

/** Some of the sockets stop reading while 10 KB changes go on: memory, the others' p99, and that they miss nothing. */
const stalledReaders = async (
  cluster: Cluster,
  people: Population,
  plan: Plan,
  report: (line: string) => void,
): Promise<SocketFigure[]> => {
  const { url, pid } = cluster.servers[0]!
  const users = people.users.slice(0, 20)
  await using swarm = await startSwarm([url], users.map(seatOf))
  await swarm.execute({ do: 'open', count: plan.stalled * 2, atOnce })
  const before = await settledBytes(pid)
  report(`${plan.stalled} of ${plan.stalled * 2} sockets stop reading`)
  await swarm.execute({ do: 'pause', count: plan.stalled })
  let most = 0
  const watch = setInterval(() => (most = Math.max(most, residentBytes(pid))), 250)
  const written = await write(url, users, { seconds: plan.seconds * 2, perSecond: 40, bytes: 9_900 })
  clearInterval(watch)
  const { ages } = await swarm.report()
  report('they read again')
  await swarm.execute({ do: 'resume' })
  await untilReceived(swarm, (written * plan.stalled * 2) / users.length)
  const after = await swarm.report()
  const uneven = Object.values(after.scopes).reduce((sum, { least, most }) => sum + most - least, 0)
  const wrong = uneven + after.repeated + after.reordered + after.leaked + after.resyncs
  return [
    {
      name: `${plan.stalled} sockets that stop reading`,
      value: `${((most - before) / plan.stalled / 1024).toFixed(0)} KB each at most, ${after.closes['4008'] ?? 0} closed with 4008; the others p99 ${ages.p99} ms; ${wrong} events lost, repeated or out of order`,
      target: 'at most 330 KB each; others untouched; 0',
    },
  ]
}

/** kill -9 of the server, started again at once: until all are live again. */
const reconnects = async (
  cluster: Cluster,
  people: Population,
  plan: Plan,
  report: (line: string) => void,
): Promise<SocketFigure[]> => {
  const server = cluster.servers[0]!
  await using swarm = await startSwarm([server.url], people.users.map(seatOf))
  await swarm.execute({ do: 'open', count: plan.returning, atOnce })
  report(`kill -9 with ${plan.returning} sockets`)
  await server.kill()
  const began = performance.now()
  await server.start()
  const upMs = performance.now() - began
  const failed = { requests: 0, refused: 0 }
  await eventually(
    async () => {
      failed.requests += 1
      const { status } = await createTask(server.url, people.users[0]!, 0)
      if (status !== 201) failed.refused += 1
      const { live } = await swarm.report()
      if (live < plan.returning) throw new Error(`${live} of ${plan.returning} are live`)
    },
    { timeoutMs: 60_000, everyMs: 100 },
  )
  const totalMs = performance.now() - began
  const { resyncs, closes } = await swarm.report()
  return [
    {
      name: `${plan.returning} sockets after kill -9`,
      value: `server up in ${upMs.toFixed(0)} ms, all live after ${(totalMs / 1000).toFixed(1)} s; ${failed.refused} of ${failed.requests} requests meanwhile failed; ${resyncs} resyncs; closes ${JSON.stringify(closes)}`,
      target: 'within 10 s; 0; 0',
    },
  ]
}
