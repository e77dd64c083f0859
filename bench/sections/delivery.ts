// How old changes are when they reach sockets: at 200 and 2,000 writes a second, beside readers that stop, and the
// highest rate of an open loop at which the 99th percentile stays below 25 ms.
import { startSwarm } from '../../test/support/swarm.ts'
import type { Context, Section } from '../context.ts'
import { makeProject, type Person } from '../people.ts'
import { residentBytes, settledBytes } from '../processes.ts'
import type { Row } from '../row.ts'
import { rounded } from '../statistics.ts'
import type { Workbench } from '../workbench.ts'
import { atOnce, dueRequests, seatOf, untilReceived, writeAtRate, wrongDeliveries } from './swarms.ts'

export const deliveryRows = [
  {
    id: 'commit-to-socket',
    title: 'commit to socket, 200 writes/s, 1,000 sockets in 50 projects',
    targets: [
      { figure: 'p50Ms', atMost: 2 },
      { figure: 'p99Ms', atMost: 20 },
      { figure: 'late', atMost: 0 },
    ],
  },
  {
    id: 'commit-to-socket-many',
    title: 'commit to socket, 2,000 writes/s to 100 projects, 100 readers',
    targets: [
      { figure: 'p50Ms', atMost: 2 },
      { figure: 'p99Ms', atMost: 15 },
      { figure: 'perSecond', atLeast: 1_950 },
    ],
  },
  {
    id: 'knee',
    title:
      'open loop, 10 projects, 100 readers: writes/s at which the p99 from due to socket stays under 25 ms',
    targets: [{ figure: 'perSecond', atLeast: 4_000 }],
  },
  {
    id: 'stalled',
    title: '1,000 of 2,000 sockets stop reading while 10 KB changes go on',
    targets: [
      { figure: 'eachKb', atMost: 330 },
      { figure: 'wrong', atMost: 0 },
    ],
  },
] as const satisfies Row[]

type Place = Pick<Person, 'token' | 'projectId'>

const run = async (context: Context): Promise<void> => {
  const bench = await context.workbench()
  const { users } = bench.people
  await bench.people.renew()
  if (context.wants('commit-to-socket'))
    await commitToSocket(context, bench, 'commit-to-socket', users, context.plan.followers, 200)
  if (context.wants('commit-to-socket-many')) {
    const second = users.map(async ({ token }): Promise<Place> => {
      const projectId = await makeProject(bench.url, token, 'Second')
      return { token, projectId }
    })
    const places = [...users, ...(await Promise.all(second))]
    await commitToSocket(context, bench, 'commit-to-socket-many', places, places.length, 2_000)
  }
  if (context.wants('knee')) await knee(context, bench)
  if (context.wants('stalled')) await stalled(context, bench)
}

/** Every event's age on arrival, from the time that was taken under the shard's lock just before COMMIT. */
const commitToSocket = async (
  context: Context,
  { url }: Workbench,
  row: string,
  places: readonly Place[],
  sockets: number,
  perSecond: number,
): Promise<void> => {
  const { plan } = context
  await using swarm = await startSwarm([url], places.map(seatOf))
  await swarm.execute({ do: 'open', count: sockets, atOnce })
  context.report(`${perSecond} writes/s, ${sockets} sockets in ${places.length} projects`)
  const requests = dueRequests(places)
  await writeAtRate(context, url, requests, {
    seconds: plan.warmSeconds,
    perSecond: Math.min(200, perSecond),
  })
  await Bun.sleep(500) // what is still on its way belongs to the warm-up
  await swarm.execute({ do: 'forget' })
  const before = (await swarm.report()).written
  const written = await writeAtRate(context, url, requests, { seconds: plan.socketSeconds, perSecond })
  const readers = sockets / places.length
  const expected = Math.floor(before + written.answered * readers)
  const lost = await untilReceived(swarm, expected).then(
    () => 0,
    async () => expected - (await swarm.report()).written,
  )
  const { ages, dues } = await swarm.report()
  context.add({
    row,
    figures: {
      p50Ms: rounded(ages.p50),
      p99Ms: rounded(ages.p99),
      perSecond: Math.round(written.answered / plan.socketSeconds),
      late: written.late,
      dueP50Ms: rounded(dues.p50),
      dueP99Ms: rounded(dues.p99),
    },
    latency: { p50: ages.p50, p90: ages.p90, p99: ages.p99, p999: ages.max, max: ages.max },
    generatorCpu: rounded(written.generatorCpuMs / 1000 / written.seconds),
    failed: written.failed + lost,
    notes: [
      `${ages.count} events, oldest ${rounded(ages.max)} ms`,
      lost > 0 ? `${lost} events did not come within 30 s` : '',
    ],
  })
}

const kneeProjects = 10
const kneeReaders = 100
const kneeP99Ms = 25
const rates = { first: 200, most: 12_000 }

/** Rates that grow until two in a row miss, or writes fail; the last one below 25 ms is the knee. */
const knee = async (context: Context, { url, people }: Workbench): Promise<void> => {
  const { plan } = context
  const places = people.users.slice(0, kneeProjects)
  const requests = dueRequests(places)
  const p50: [number, number][] = []
  const p99: [number, number][] = []
  let reached = 0
  let cpu = 0
  for (
    let rate = rates.first, misses = 0;
    misses < 2 && rate <= rates.most;
    rate = Math.round(rate * plan.rateGrowth)
  ) {
    // New sockets for each rate: what an overloaded one left on its way would count for the next.
    await using swarm = await startSwarm([url], places.map(seatOf))
    await swarm.execute({ do: 'open', count: kneeReaders, atOnce })
    context.report(`open loop: ${rate} writes/s`)
    const written = await writeAtRate(context, url, requests, { seconds: plan.rateSeconds, perSecond: rate })
    const expected = (written.answered * kneeReaders) / kneeProjects
    await untilReceived(swarm, expected, 10_000).catch(() => {})
    const { dues } = await swarm.report()
    p50.push([rate, rounded(dues.p50)])
    p99.push([rate, rounded(dues.p99)])
    const isWhole = written.failed === 0 && written.late === 0 && dues.count >= expected
    const isGood = isWhole && dues.p99 < kneeP99Ms
    if (isGood) reached = rate
    misses = isGood ? 0 : misses + 1
    cpu = Math.max(cpu, written.generatorCpuMs / 1000 / written.seconds)
  }
  context.curve({ plot: 'knee', name: 'p50', points: p50 })
  context.curve({ plot: 'knee', name: 'p99', points: p99 })
  const at = (points: [number, number][]): number =>
    points.find(([rate]) => rate === reached)?.[1] ?? Number.NaN
  context.add({
    row: 'knee',
    figures: { perSecond: reached, p50Ms: at(p50), p99Ms: at(p99) },
    generatorCpu: rounded(cpu),
    failed: 0,
    notes: [`rates grow by ${plan.rateGrowth} from ${rates.first}/s, ${plan.rateSeconds} s each`],
  })
}

const stalled = async (context: Context, { url, cluster, people }: Workbench): Promise<void> => {
  const { plan, report } = context
  const { pid } = cluster.servers[0]!
  const users = people.users.slice(0, 20)
  await using swarm = await startSwarm([url], users.map(seatOf))
  await swarm.execute({ do: 'open', count: plan.stalled * 2, atOnce })
  const before = await settledBytes(pid)
  report(`${plan.stalled} of ${plan.stalled * 2} sockets stop reading`)
  await swarm.execute({ do: 'pause', count: plan.stalled })
  let most = before
  const watch = setInterval(() => (most = Math.max(most, residentBytes(pid))), 250)
  const written = await writeAtRate(context, url, dueRequests(users, 9_900), {
    seconds: plan.socketSeconds * 2,
    perSecond: 40,
  })
  clearInterval(watch)
  const { ages } = await swarm.report()
  report('they read again')
  await swarm.execute({ do: 'resume' })
  const wrong = await wrongDeliveries(swarm, (written.answered * plan.stalled * 2) / users.length)
  const { closes } = await swarm.report()
  context.add({
    row: 'stalled',
    figures: {
      eachKb: rounded((most - before) / plan.stalled / 1024),
      wrong: Object.values(wrong).reduce((sum, count) => sum + count, 0),
      othersP99Ms: rounded(ages.p99),
    },
    failed: written.failed,
    notes: [
      `${plan.stalled} stopped`,
      `${closes['4008'] ?? 0} closed with 4008`,
      Object.entries(wrong)
        .filter(([, count]) => count > 0)
        .map(([kind, count]) => `${count} ${kind}`)
        .join(', '),
    ],
  })
}

export const deliverySection: Section = { name: 'delivery', rows: deliveryRows, run }
