// How sockets come back and what they missed meanwhile: TCP connections that are cut at random, the same with kill -9 of
// the server in the middle, all sockets after kill -9, and a rolling restart of two servers.
import { startSwarm, type SwarmReport } from '../../test/support/swarm.ts'
import type { Context, Section } from '../context.ts'
import { call, makeProject, registerPeople, type Person } from '../people.ts'
import type { Row } from '../row.ts'
import { rounded } from '../statistics.ts'
import { createTask } from './fan-out.ts'
import { writeMessages } from './messages.ts'
import { atOnce, seatOf, untilLive, untilReceived } from './swarms.ts'

export const returnRows = [
  {
    id: 'league',
    title: '2,000 clients, TCP cut every 15 s on average, 2 s away, 120 messages each',
    targets: [
      { figure: 'deliveredPercent', atLeast: 100 },
      { figure: 'twice', atMost: 0 },
      { figure: 'missedP99Ms', atMost: 20 },
    ],
  },
  {
    id: 'league-large',
    title: 'the same with 10,000 clients, 60 messages each',
    targets: [
      { figure: 'deliveredPercent', atLeast: 100 },
      { figure: 'twice', atMost: 0 },
      { figure: 'missedP99Ms', atMost: 100 },
    ],
  },
  {
    id: 'league-kill',
    title: '2,000 clients and kill -9 of the server in the middle',
    targets: [
      { figure: 'deliveredPercent', atLeast: 100 },
      { figure: 'twice', atMost: 0 },
      { figure: 'missedP99Ms', atMost: 100 },
    ],
  },
  {
    id: 'return',
    title: '10,000 sockets: return of all after kill -9',
    targets: [
      { figure: 'allSeconds', atMost: 10 },
      { figure: 'refused', atMost: 0 },
    ],
  },
  {
    id: 'deploy',
    title: 'rolling restart of two servers with 5,000 sockets',
    targets: [
      { figure: 'backPercent', atLeast: 100 },
      { figure: 'backP95Ms', atMost: 1_000 },
      { figure: 'resyncs', atMost: 0 },
    ],
  },
] as const satisfies Row[]

const run = async (context: Context): Promise<void> => {
  const { people } = await context.workbench()
  await people.renew()
  if (context.wants('league')) await league(context, 'league')
  const isWhole = !context.plan.isQuick || context.isNamed('league-large')
  if (isWhole && context.wants('league-large')) await league(context, 'league-large')
  if (context.wants('league-kill')) await league(context, 'league-kill')
  if (context.wants('return')) await returnOfAll(context)
  if (context.wants('deploy')) await deploy(context)
}

/** Every user may read one project; each socket has the token of one of them. */
const openChannel = async (
  url: string,
  users: readonly Person[],
): Promise<{ owner: Person; projectId: string }> => {
  const owner = users[0]!
  const projectId = await makeProject(url, owner.token, 'Channel')
  const path = `/api/projects/${projectId}/members`
  for (const { email } of users.slice(1))
    await call(url, 'POST', path, owner.token, { email, role: 'viewer' })
  return { owner, projectId }
}

const league = async (context: Context, row: 'league' | 'league-large' | 'league-kill'): Promise<void> => {
  const { plan, report } = context
  const { clients, messages, everyMs, cutEveryMs, awayMs } =
    row === 'league-large' ? plan.leagueLarge : plan.league
  const { cluster, people } = await context.workbench()
  const server = cluster.servers[0]!
  const { owner, projectId } = await openChannel(server.url, people.users)
  const seats = people.users.map(({ token }) => seatOf({ token, projectId }))
  await using swarm = await startSwarm([server.url], seats)
  await swarm.execute({ do: 'open', count: clients, atOnce })
  report(`${clients} clients, cut every ${cutEveryMs / 1000} s on average, ${messages} messages`)
  await swarm.execute({ do: 'forget' })
  await swarm.execute({ do: 'cut', everyMs: cutEveryMs, awayMs })
  let restarted = Promise.resolve(0)
  const restart = async (): Promise<number> => {
    const began = performance.now()
    await server.kill()
    await server.start()
    return performance.now() - began
  }
  const { failedAttempts } = await writeMessages({
    urls: [server.url],
    token: owner.token,
    projectId,
    count: messages,
    everyMs,
    onNext: (index) => {
      if (row === 'league-kill' && index === Math.floor(messages / 2)) restarted = restart()
    },
  })
  const awayFor = await restarted
  await swarm.execute({ do: 'cut', everyMs: null, awayMs: 0 })
  await untilLive(swarm, clients)
  await untilReceived(swarm, clients * messages).catch(() => {})
  const seen = await swarm.report()
  context.add(leagueResult(row, seen, { clients, messages, failedAttempts, awayFor }))
}

const leagueResult = (
  row: string,
  seen: SwarmReport,
  {
    clients,
    messages,
    failedAttempts,
    awayFor,
  }: Record<'clients' | 'messages' | 'failedAttempts' | 'awayFor', number>,
) => {
  const { replayed, resumed, closes } = seen
  return {
    row,
    figures: {
      deliveredPercent: rounded(
        (Math.min(seen.written - seen.repeated, clients * messages) / (clients * messages)) * 100,
      ),
      twice: seen.repeated + seen.reordered,
      missedP50Ms: rounded(replayed.p50),
      missedP99Ms: rounded(replayed.p99),
      missedMaxMs: rounded(replayed.max),
      turnedAway: closes['1013'] ?? 0,
    },
    failed: 0,
    notes: [
      `${clients} clients, ${messages} messages, ${resumed.count} returns, ${replayed.count} events missed and replayed`,
      awayFor > 0 ? `server away for ${Math.round(awayFor)} ms, ${failedAttempts} writes tried again` : '',
      'counted from the first byte of the connect that succeeded',
    ],
  }
}

/** kill -9 of the server, started again at once: until all are live again. */
const returnOfAll = async (context: Context): Promise<void> => {
  const { plan, report } = context
  const { cluster, people } = await context.workbench()
  const server = cluster.servers[0]!
  await using swarm = await startSwarm([server.url], people.users.map(seatOf))
  await swarm.execute({ do: 'open', count: plan.returning, atOnce })
  report(`kill -9 with ${plan.returning} sockets`)
  await server.kill()
  const began = performance.now()
  await server.start()
  const upMs = performance.now() - began
  const requests = { sent: 0, refused: 0 }
  const ask = async (): Promise<void> => {
    requests.sent += 1
    await createTask(server.url, people.users[0]!, requests.sent).catch(() => (requests.refused += 1))
  }
  const asking = setInterval(() => void ask(), 100)
  await untilLive(swarm, plan.returning).finally(() => clearInterval(asking))
  const allMs = performance.now() - began
  const { resyncs, closes } = await swarm.report()
  context.add({
    row: 'return',
    figures: {
      allSeconds: rounded(allMs / 1000),
      refused: requests.refused,
      serverUpMs: Math.round(upMs),
      resyncs,
      turnedAway: closes['1013'] ?? 0,
    },
    failed: 0,
    notes: [`${plan.returning} sockets`, `${requests.sent} creates meanwhile`],
  })
}

const deployUsers = 20
const writesEveryMs = 20

const deploy = async (context: Context): Promise<void> => {
  const { plan, report } = context
  await using stack = new AsyncDisposableStack()
  const cluster = stack.use(await context.install({ servers: 2 }))
  const urls = cluster.servers.map(({ url }) => url)
  const { users } = await registerPeople(urls[0]!, deployUsers)
  await using swarm = await startSwarm(urls, users.map(seatOf))
  await swarm.execute({ do: 'open', count: plan.deploySockets, atOnce })
  await swarm.execute({ do: 'forget' })
  const before = (await swarm.report()).closes
  const over = new AbortController()
  const { token, projectId } = users[0]!
  const writing = (async () => {
    let written = 0
    for (; !over.signal.aborted; written += 1) {
      await writeMessages({ urls, token, projectId, count: 1, everyMs: 0 })
      await Bun.sleep(writesEveryMs)
    }
    return written
  })()
  for (const server of cluster.servers) {
    report(`restarting ${server.name} with ${plan.deploySockets} sockets`)
    await server.stop()
    await server.start()
    await untilLive(swarm, plan.deploySockets)
  }
  over.abort()
  const written = await writing
  const { live, resumed, resyncs, closes, repeated, reordered } = await swarm.report()
  const turnedAway = (closes['1013'] ?? 0) - (before['1013'] ?? 0)
  context.add({
    row: 'deploy',
    figures: {
      backPercent: rounded((live / plan.deploySockets) * 100),
      backP50Ms: rounded(resumed.p50),
      backP95Ms: rounded(resumed.p95),
      backP99Ms: rounded(resumed.p99),
      resyncs,
      turnedAway,
      wrong: repeated + reordered,
    },
    failed: 0,
    notes: [`${plan.deploySockets} sockets, ${resumed.count} returns, ${written} writes meanwhile`],
  })
}

export const returnSection: Section = { name: 'returns', rows: returnRows, run }
