// The same loads on an installation that runs already, over HTTP and WebSocket alone. Reads use what the token's user has;
// writes happen only where they were asked for, in a project that is made for them and deleted at the end.
import { startSwarm } from '../test/support/swarm.ts'
import { interleave, rowOf, sampleOf, type Subject } from './context.ts'
import { startGenerator } from './load/generator.ts'
import type { HttpRequest, LoadJob } from './load/job.ts'
import { machineFacts } from './machine.ts'
import type { Options } from './options.ts'
import { call, makeProject, makeTasks } from './people.ts'
import { planOf } from './plan.ts'
import type { Report } from './report/report.ts'
import type { RowResult } from './row.ts'
import { report } from './run.ts'
import { readRequests } from './sections/reads.ts'
import { seatOf, untilReceived, dueRequests, writeAtRate } from './sections/swarms.ts'
import { rounded } from './statistics.ts'

type Installation = NonNullable<Options['against']>

const connections = 32
const tasksRead = 100
const tasksWritten = 100
const followers = 10
const writesPerSecond = 20
/** Share of a rate limit that the loads use together. */
const shareOfLimit = 0.5
/** A limit above this many requests a second is no limit for a load. */
const highLimit = 20_000

export const measureAgainst = async (options: Options, installation: Installation): Promise<Report> => {
  await using stack = new AsyncDisposableStack()
  const began = performance.now()
  const startedAt = new Date().toISOString()
  const { url, token, mayWrite } = installation
  const plan = planOf(options.isQuick, options.rounds)
  const generator = stack.use(startGenerator())
  const limit = await requestsPerSecond(installation)
  const pace = limit < highLimit ? Math.max(1, Math.floor(limit * shareOfLimit)) : null
  report(pace === null ? 'closed loop: no rate limit in the way' : paced(limit, pace))
  const { items: projects } = await call(url, 'GET', '/api/projects?limit=1', token)
  const { items: tasks } = await call(url, 'GET', `/api/tasks?limit=${tasksRead}`, token)
  const projectId: string = projects[0].id
  const wants = (row: string): boolean => options.only.length === 0 || options.only.includes(row)
  const subject = (id: string, requests: readonly HttpRequest[], expect: number): Subject => {
    const job: LoadJob = {
      with: pace === null ? 'autocannon' : 'native',
      url,
      connections,
      seconds: plan.seconds,
      requests,
      expect,
      ...(pace !== null && { perSecond: pace }),
    }
    return { id, run: () => sampleOf({ generator }, job, null) }
  }
  const reads = await readRequests({
    url,
    tasks: tasks.map(({ id }: { id: string }) => ({ id, token })),
    token,
    projectId,
  })
  const subjects = Object.entries(reads)
    .filter(([id, { requests }]) => wants(id) && requests.length > 0)
    .map(([id, { requests, expect }]) => subject(id, requests, expect))
  const rows: RowResult[] = []
  const notes = pace === null ? [] : [paced(limit, pace)]
  const add = async (all: Subject[]): Promise<void> => {
    const samples = await interleave({ plan, report }, 'load', all)
    for (const { id } of all) rows.push(rowOf(samples, id, { notes }))
  }
  await add(subjects)
  if (mayWrite) {
    const place = await makePlace(stack, installation)
    await add(
      writeRequests(place)
        .filter(({ id }) => wants(id))
        .map(({ id, requests, expect }) => subject(id, requests, expect)),
    )
    if (wants('commit-to-socket'))
      rows.push(await follow({ generator }, installation, place, plan.socketSeconds))
  }
  return {
    startedAt,
    seconds: (performance.now() - began) / 1000,
    machine: machineFacts(),
    settings: {
      installation: url,
      'written to': mayWrite ? 'a project named bench, deleted afterwards' : 'nothing',
    },
    plan,
    rows,
    curves: [],
    errors: [],
  }
}

const paced = (limit: number, pace: number): string =>
  `the installation limits a user to ${rounded(limit)} requests/s: open loop at ${pace}/s, for latency alone (raise RATE_LIMIT_REQUESTS for throughput)`

/** What the RateLimit-Policy of the installation allows a user; Infinity without one. */
const requestsPerSecond = async ({ url, token }: Installation): Promise<number> => {
  const response = await fetch(`${url}/api/users/me`, { headers: { Authorization: `Bearer ${token}` } })
  if (!response.ok)
    throw new Error(`${url} answers ${response.status} to the token: ${await response.text()}`)
  const [, quota, seconds] = /;q=(\d+);w=(\d+)/.exec(response.headers.get('ratelimit-policy') ?? '') ?? []
  return quota === undefined ? Infinity : Number(quota) / Number(seconds)
}

interface Place {
  token: string
  projectId: string
  taskIds: string[]
}

/** A project of its own, deleted with the stack. */
const makePlace = async (stack: AsyncDisposableStack, { url, token }: Installation): Promise<Place> => {
  report(`creating a project named bench with ${tasksWritten} tasks`)
  const projectId = await makeProject(url, token, 'bench')
  stack.defer(async () => {
    report('deleting the project')
    await call(url, 'DELETE', `/api/projects/${projectId}`, token)
  })
  return { token, projectId, taskIds: await makeTasks(url, { token }, projectId, tasksWritten) }
}

const writeRequests = ({ token, projectId, taskIds }: Place) => {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  const create = {
    method: 'POST',
    path: '/api/tasks',
    headers,
    body: JSON.stringify({ projectId, title: 'Measure what the log costs', tags: ['bench'] }),
  } as const
  const changes = Array.from({ length: 1_000 }, (_, index) => ({
    method: 'PATCH' as const,
    path: `/api/tasks/${taskIds[index % taskIds.length]}`,
    headers,
    body: JSON.stringify({ title: `Measured ${Math.random()}` }),
  }))
  return [
    { id: 'create-one-user', requests: [create], expect: 201 },
    { id: 'patch', requests: changes, expect: 200 },
  ]
}

const follow = async (
  context: Parameters<typeof writeAtRate>[0],
  { url }: Installation,
  place: Place,
  seconds: number,
): Promise<RowResult> => {
  await using swarm = await startSwarm([url], [seatOf(place)])
  await swarm.execute({ do: 'open', count: followers, atOnce: followers })
  await swarm.execute({ do: 'forget' })
  const rate = { seconds, perSecond: writesPerSecond }
  const { answered, failed } = await writeAtRate(context, url, dueRequests([place]), rate)
  await untilReceived(swarm, answered * followers)
  const { dues } = await swarm.report()
  return {
    row: 'commit-to-socket',
    figures: { p50Ms: rounded(dues.p50), p99Ms: rounded(dues.p99) },
    failed,
    notes: [`${followers} sockets, ${writesPerSecond} writes/s, from due to socket`],
  }
}
