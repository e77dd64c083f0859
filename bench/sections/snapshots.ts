// The first page of the snapshot of a project of 10,000 tasks: bytes of JSON per second of server CPU, the time to the
// first byte, and what other requests of the same process wait meanwhile. Invariant: every page is built, because equal
// requests within two seconds share one read.
import type { Context, Section } from '../context.ts'
import { cpuMs } from '../processes.ts'
import type { Row } from '../row.ts'
import { median, rounded } from '../statistics.ts'
import { besideFigures } from './beside.ts'
import { startGenerator } from '../load/generator.ts'
import type { LoadResult } from '../load/job.ts'

export const snapshotRows = [
  {
    id: 'snapshot',
    title: 'snapshot of 10,000 tasks: JSON per core before compression, first byte',
    targets: [
      { figure: 'jsonMbPerSecond', atLeast: 40 },
      { figure: 'firstByteMs', atMost: 100 },
    ],
  },
  {
    id: 'beside-snapshot',
    title: 'p99 of `GET` of one task beside two readers of snapshots, against without',
    targets: [{ figure: 'p99Ratio', atMost: 2 }],
  },
] as const satisfies Row[]

const pageLimit = 5_000
/** Pages that differ by a task each. The server keeps at most 8 MiB of them, which is two. */
const differentPages = 50
const otherPerSecond = 100
const otherConnections = 8
const readers = 2

const run = async (context: Context): Promise<void> => {
  const { plan, report } = context
  const bench = await context.workbench()
  const { first, url, cluster, people } = bench
  await people.renew()
  const { pid } = cluster.servers[0]!
  const headers = { authorization: `Bearer ${first.token}` }
  const requests = Array.from({ length: differentPages }, (_, n) => ({
    method: 'GET' as const,
    path: `/api/projects/${first.projectId}/snapshot?limit=${pageLimit - n}`,
    headers,
  }))
  const job = { with: 'native' as const, url, expect: 200, seconds: plan.seconds }
  const other = {
    ...job,
    connections: otherConnections,
    perSecond: otherPerSecond,
    requests: people.users.slice(1, 9).map(({ taskIds, token }) => ({
      method: 'GET' as const,
      path: `/api/tasks/${taskIds[0]}`,
      headers: { authorization: `Bearer ${token}` },
    })),
  }
  await using beside = startGenerator()
  const rounds: (Record<'alone' | 'quiet' | 'disturbed', LoadResult> & { serverCpuMs: number })[] = []
  for (let round = 1; round <= plan.rounds; round += 1) {
    report(`snapshots: round ${round} of ${plan.rounds}`)
    const before = cpuMs(pid)
    const alone = await context.generator.run({ ...job, connections: 1, requests })
    const serverCpuMs = cpuMs(pid) - before
    const quiet = await context.generator.run(other)
    const [disturbed] = await Promise.all([
      context.generator.run(other),
      beside.run({ ...job, connections: readers, requests }),
    ])
    rounds.push({ alone, serverCpuMs, quiet, disturbed })
  }
  const of = (figure: (round: (typeof rounds)[number]) => number): number =>
    rounded(median(rounds.map(figure)))
  const failed = rounds.reduce(
    (sum, { alone, quiet, disturbed }) => sum + alone.failed + quiet.failed + disturbed.failed,
    0,
  )
  context.add({
    row: 'snapshot',
    figures: {
      jsonMbPerSecond: of(({ alone, serverCpuMs }) => alone.bytes / 1e6 / (serverCpuMs / 1000)),
      firstByteMs: of(({ alone }) => alone.firstByteMs),
      wallMbPerSecond: of(({ alone }) => alone.bytes / 1e6 / alone.seconds),
      pageMb: of(({ alone }) => alone.bytes / 1e6 / Math.max(1, alone.answered)),
    },
    failed,
    notes: [`pages of at most ${pageLimit} tasks or 4 MiB, none of them shared, one reader`],
  })
  context.add({
    row: 'beside-snapshot',
    figures: besideFigures(rounds),
    failed: 0,
    notes: [`${otherPerSecond} reads/s of other users, ${readers} readers of snapshots without a pause`],
  })
}

export const snapshotSection: Section = { name: 'snapshot-reads', rows: snapshotRows, run }
