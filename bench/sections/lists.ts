// Lists as a project grows: first page, search and a deep cursor at 10,000 tasks and at a million, each at a fixed rate
// that leaves the machine idle most of the time, so that the percentiles are of the work and not of a queue.
import { SQL } from 'bun'
import type { Context, Section } from '../context.ts'
import { fillTasks } from '../fill.ts'
import { call, registerPeople, type Person } from '../people.ts'
import type { HttpRequest, LoadResult } from '../load/job.ts'
import type { Plan } from '../plan.ts'
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
const warmSeconds = 1
/** More than needed: a request that was sent before is answered from what the server keeps. */
const reserve = 1.2

const requestCount = ({ rounds, listSeconds }: Plan): number =>
  Math.ceil((rounds * listSeconds + warmSeconds) * perSecond * reserve)
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
    for (const kind of kinds.filter((one) => context.wants(one)))
      measured.get(kind)!.push({
        size,
        ...(await latencyOf(
          context,
          url,
          await requestsOf(kind, cluster.databaseUrl, url, owner, requestCount(plan)),
        )),
      })
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

/** Requests that differ, because equal ones would be answered from what the server keeps: the work is the same. */
const requestsOf = async (
  kind: Kind,
  databaseUrl: string,
  url: string,
  { projectId, token }: Person,
  count: number,
): Promise<HttpRequest[]> => {
  const list = `/api/tasks?projectId=${projectId}`
  const numbers = Array.from({ length: count }, (_, index) => index)
  const end = Date.parse('2100-01-01T00:00:00Z')
  const paths = {
    'first-page': async () =>
      numbers.map((number) => `${list}&createdBefore=${new Date(end + number).toISOString()}`),
    search: async () => numbers.map((number) => `${list}&search=list+${1_000 + number}`),
    'deep-cursor': async () => {
      const found: string[] = []
      for (const at of await creationTimes(databaseUrl, projectId, count)) {
        const path = `${list}&sort=createdAt&createdAfter=${at}`
        const { nextCursor } = await call(url, 'GET', path, token)
        found.push(`${path}&cursor=${encodeURIComponent(nextCursor)}`)
      }
      return found
    },
  }
  const headers = { authorization: `Bearer ${token}` }
  return (await paths[kind]()).map((path) => ({ method: 'GET', path, headers }))
}

/** Of tasks all over the list, at equal distances. */
const creationTimes = async (databaseUrl: string, projectId: string, count: number): Promise<string[]> => {
  await using sql = new SQL({ url: databaseUrl, max: 1 })
  const shares = Array.from({ length: count }, (_, index) => (index + 1) / (count + 2))
  const rows: { at: string }[] = await sql`
    select to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at
    from (
      select unnest(percentile_disc(${JSON.stringify(shares).replace('[', '{').replace(']', '}')}::float8[])
        within group (order by created_at)) as at
      from tasks where project_id = ${projectId}::uuid
    ) places`
  return rows.map(({ at }) => at)
}

const latencyOf = async (
  { generator, plan }: Context,
  url: string,
  requests: HttpRequest[],
): Promise<{ p50Ms: number; p99Ms: number; failed: number }> => {
  const job = { with: 'native', url, connections, perSecond, expect: 200 } as const
  let sent = 0
  const next = (seconds: number): Promise<LoadResult> => {
    const own = requests.slice(sent, (sent += Math.ceil(seconds * perSecond)))
    return generator.run({ ...job, requests: own, seconds })
  }
  await next(Math.min(warmSeconds, plan.listSeconds)) // warms the pages and the plans
  const rounds = []
  for (let round = 0; round < plan.rounds; round += 1) rounds.push(await next(plan.listSeconds))
  return {
    p50Ms: rounded(median(rounds.map(({ latency }) => latency.p50))),
    p99Ms: rounded(median(rounds.map(({ latency }) => latency.p99))),
    failed: rounds.reduce((sum, { failed }) => sum + failed, 0),
  }
}

export const listSection: Section = { name: 'lists', rows: listRows, run }
