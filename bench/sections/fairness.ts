// What other users feel: 256 connections of one user that write without a pause beside four of another.
import { sampleOf, type Context, type Sample, type Section } from '../context.ts'
import { cpuOf } from '../installation.ts'
import { startGenerator } from '../load/generator.ts'
import type { LoadJob, LoadResult } from '../load/job.ts'
import type { Row } from '../row.ts'
import { median, rounded } from '../statistics.ts'
import { besideFigures } from './beside.ts'
import { createRequests } from './writes.ts'

export const fairnessRows = [
  {
    id: 'writers',
    title: '256 connections of one user write beside 4 of another: the other p99 against alone',
    targets: [{ figure: 'p99Ratio', atMost: 2 }],
  },
] as const satisfies Row[]

const greedyConnections = 256
const otherConnections = 4

const run = async (context: Context): Promise<void> => {
  const { plan, report } = context
  const { cluster, people, url } = await context.workbench()
  await people.renew()
  const [greedy, other] = [people.users[2]!, people.users[3]!]
  await using beside = startGenerator()
  const job = (user: typeof other, connections: number): LoadJob => ({
    with: 'native',
    url,
    connections,
    seconds: plan.seconds,
    requests: createRequests([user]),
    expect: 201,
  })
  const rounds: { quiet: Sample; disturbed: Sample; flood: LoadResult }[] = []
  for (let round = 1; round <= plan.rounds; round += 1) {
    report(`writers: round ${round} of ${plan.rounds}`)
    const quiet = await sampleOf(context, job(other, otherConnections), () => cpuOf(cluster))
    const [disturbed, flood] = await Promise.all([
      sampleOf(context, job(other, otherConnections), null),
      beside.run(job(greedy, greedyConnections)),
    ])
    rounds.push({ quiet, disturbed, flood })
  }
  const of = (figure: (round: (typeof rounds)[number]) => number): number =>
    rounded(median(rounds.map(figure)))
  context.add({
    row: 'writers',
    figures: {
      ...besideFigures(rounds),
      besidePerSecond: of(({ disturbed }) => disturbed.perSecond),
      greedyPerSecond: of(({ flood }) => flood.perSecond),
    },
    failed: rounds.reduce((sum, { quiet, disturbed }) => sum + quiet.failed + disturbed.failed, 0),
    notes: [
      `closed loop on both sides; of the greedy user ${rounds.reduce((sum, { flood }) => sum + flood.failed, 0)} were refused or failed`,
    ],
  })
}

export const fairnessSection: Section = { name: 'flood', rows: fairnessRows, run }
