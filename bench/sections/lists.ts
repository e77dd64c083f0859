// Lists as a project grows: first page, search and a deep cursor at 10,000 tasks and at a million, each at a fixed rate
// that leaves the machine idle most of the time, so that the percentiles are of the work and not of a queue.
import { SQL } from 'bun'
import type { Context, Section } from '../context.ts'
import { fillTasks } from '../fill.ts'
import { call, registerPeople, type Person } from '../people.ts'
import type { Row } from '../row.ts'
import { median, rounded } from '../statistics.ts'

const kinds = ['first-page', 'search', 'deep-cursor'] as const
type Kind = (typeof kinds)[number]

export const listRows = [
  {
    id: 'first-page',
    title: 'first page of 1,000,000 tasks, p99 against that of 10,000',
    targets: [{ figure: 'growthRatio', atMost: 2 }],
  },
  { id: 'search', title: 'search of two words, the same', targets: [{ figure: 'growthRatio', atMost: 2 }] },
  {
    id: 'deep-cursor',
    title: 'page in the middle by cursor, the same',
    targets: [{ figure: 'growthRatio', atMost: 2 }],
  },
] as const satisfies Row[]

const perSecond = 50
const connections = 8
const few = 10_000
const between = 100_000

const run = async (context: Context): Promise<void> => {
  const { plan, report } = context
  await using cluster = await context.install()
  const { url } = cluster.servers[0]!
  const people = await registerPeople(url, 1)
  const owner = people.users[0]!
  const sizes = [few, ...(context.hasCurves && plan.manyTasks > between ? [between] : []), plan.manyTasks]
  const measured = new Map<Kind, { size: number; p50Ms: number; p99Ms: number; failed: number }[]>(
    kinds.map((kind) => [kind, []]),
  )
  let filled = 0
  for (const size of sizes) {
    report(`${size} tasks in one project`)
    await fillTasks(cluster.databaseUrl, owner, size - filled)
    filled = size
    await people.renew()
    const middle = await cursorInTheMiddle(cluster.databaseUrl, url, owner)
    for (const kind of kinds.filter((one) => context.wants(one)))
      measured
        .get(kind)!
        .push({ size, ...(await latencyOf(context, url, owner, pathOf(kind, owner, middle))) })
  }
  for (const [row, points] of measured) {
    const [least, most] = [points[0], points.at(-1)]
    if (!least || !most) continue
    context.curve({ plot: 'growth-tasks', name: row, points: points.map(({ size, p99Ms }) => [size, p99Ms]) })
    context.add({
      row,
      figures: {
        growthRatio: rounded(most.p99Ms / least.p99Ms),
        p99Ms: most.p99Ms,
        p50Ms: most.p50Ms,
        fewP99Ms: least.p99Ms,
      },
      failed: points.reduce((sum, { failed }) => sum + failed, 0),
      notes: [`${most.size} tasks against ${least.size}, ${perSecond} requests/s`],
    })
  }
}

const pathOf = (kind: Kind, { projectId }: Person, middle: string): string =>
  ({
    'first-page': `/api/tasks?projectId=${projectId}`,
    search: `/api/tasks?projectId=${projectId}&search=list+777`,
    'deep-cursor': middle,
  })[kind]

/** The path of the page after one whose creation lies in the middle: a cursor that the server itself gave. */
const cursorInTheMiddle = async (databaseUrl: string, url: string, owner: Person): Promise<string> => {
  await using sql = new SQL({ url: databaseUrl, max: 1 })
  const [row]: { at: string }[] = await sql`
    select to_char(percentile_disc(0.5) within group (order by created_at) at time zone 'UTC',
      'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at
    from tasks where project_id = ${owner.projectId}::uuid`
  const path = `/api/tasks?projectId=${owner.projectId}&sort=createdAt&createdAfter=${row!.at}`
  const { nextCursor } = await call(url, 'GET', path, owner.token)
  return `${path}&cursor=${encodeURIComponent(nextCursor)}`
}

const latencyOf = async (
  { generator, plan }: Context,
  url: string,
  { token }: Person,
  path: string,
): Promise<{ p50Ms: number; p99Ms: number; failed: number }> => {
  const request = { method: 'GET', path, headers: { authorization: `Bearer ${token}` } } as const
  const job = { with: 'native', url, connections, perSecond, requests: [request], expect: 200 } as const
  await generator.run({ ...job, seconds: Math.min(1, plan.listSeconds) }) // warms the pages and the plans
  const rounds = []
  for (let round = 0; round < plan.rounds; round += 1)
    rounds.push(await generator.run({ ...job, seconds: plan.listSeconds }))
  return {
    p50Ms: rounded(median(rounds.map(({ latency }) => latency.p50))),
    p99Ms: rounded(median(rounds.map(({ latency }) => latency.p99))),
    failed: rounds.reduce((sum, { failed }) => sum + failed, 0),
  }
}

export const listSection: Section = { name: 'lists', rows: listRows, run }
