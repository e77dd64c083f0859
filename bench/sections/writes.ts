// Writes against pgbench with the statements of one write, closed loop: creates of 50 users and of one, one client alone,
// changes of tasks chosen uniformly and by Zipf's law, and creates with the coalescing of writes off.
import { settingNames } from '../../src/config.ts'
import {
  interleave,
  rowOf,
  sampleOf,
  type Context,
  type Sample,
  type Section,
  type Subject,
} from '../context.ts'
import { cpuOf } from '../installation.ts'
import type { HttpRequest, LoadJob } from '../load/job.ts'
import { wrkNote } from '../load/wrk.ts'
import type { Person } from '../people.ts'
import type { Row } from '../row.ts'
import { median, rounded } from '../statistics.ts'
import type { Workbench } from '../workbench.ts'
import { limitSubjects, noPgbench } from './write-limits.ts'

export const writeRows = [
  { id: 'pgbench-create', title: 'pgbench: the statement of a create, 16 clients', targets: [] },
  { id: 'pgbench-change', title: 'pgbench: the statement of a change, 16 clients', targets: [] },
  { id: 'redis', title: 'redis-benchmark: `SET`, 16 clients without pipelining', targets: [] },
  { id: 'pgbench-alone', title: 'pgbench: the statement of a create, one client', targets: [] },
  {
    id: 'create',
    title: '`POST /api/tasks`, 64 connections, 50 users',
    targets: [
      { figure: 'ratio', atLeast: 1.5 },
      { figure: 'serverCpuUs', atMost: 150 },
    ],
  },
  {
    id: 'create-one-user',
    title: 'the same with one user (one shard), against 50 users',
    targets: [{ figure: 'ratio', atLeast: 0.9 }],
  },
  { id: 'create-uncoalesced', title: 'the same as the first with coalescing off', targets: [] },
  {
    id: 'create-alone',
    title: 'one client alone: `POST`, p50 against that of pgbench with one client',
    targets: [{ figure: 'latencyRatio', atMost: 1.6 }],
  },
  {
    id: 'patch',
    title: '`PATCH` of the title, 50 users, 1,000 tasks chosen uniformly',
    targets: [
      { figure: 'ratio', atLeast: 1.2 },
      { figure: 'p99Ms', atMost: 30 },
    ],
  },
  {
    id: 'patch-zipf',
    title: 'the same, tasks chosen by Zipf 1.5, against uniform',
    targets: [{ figure: 'ratio', atLeast: 0.8 }],
  },
] as const satisfies Row[]

const connections = 64
/** Drawn before a load, 64 for each connection: drawing during it would be the generator's time. */
const drawn = connections * 64
const zipfExponent = 1.5

const headersOf = ({ token }: Pick<Person, 'token'>): Record<string, string> => ({
  authorization: `Bearer ${token}`,
  'content-type': 'application/json',
})

export const createRequests = (users: readonly Person[]): HttpRequest[] =>
  Array.from({ length: drawn }, () => {
    const user = users[Math.floor(Math.random() * users.length)]!
    const body = { projectId: user.projectId, title: 'Measure what the log costs', tags: ['bench'] }
    return { method: 'POST', path: '/api/tasks', headers: headersOf(user), body: JSON.stringify(body) }
  })

/** @param pickOf for a number of tasks: the place of a task in the order of popularity, from a random number. */
const changeRequests = (users: readonly Person[], pickOf: (tasks: number) => Place): HttpRequest[] => {
  const tasks = users[0]!.taskIds.flatMap((_, index) =>
    users.map((user) => ({ user, id: user.taskIds[index]! })),
  )
  const pick = pickOf(tasks.length)
  return Array.from({ length: drawn }, () => {
    const { user, id } = tasks[pick(Math.random())]!
    const body = JSON.stringify({ title: `Measured ${Math.floor(Math.random() * 1e9)}` })
    return { method: 'PATCH', path: `/api/tasks/${id}`, headers: headersOf(user), body }
  })
}

type Place = (random: number) => number

export const uniform =
  (tasks: number): Place =>
  (random) =>
    Math.floor(random * tasks)

/** The place whose cumulative share reaches the random number: of 1,000 tasks the first has 39 %. */
export const zipf = (tasks: number): Place => {
  let sum = 0
  const shares = Array.from({ length: tasks }, (_, index) => (sum += (index + 1) ** -zipfExponent))
  return (random) =>
    Math.max(
      0,
      shares.findIndex((share) => share >= random * sum),
    )
}

/** The setting that turns the coalescing of writes off, where this version has one. */
const coalescing = settingNames.find((name) => /COALESC/.test(name) && !name.endsWith('_FILE'))

const run = async (context: Context, bench: Workbench): Promise<void> => {
  const { plan } = context
  const { cluster, people } = bench
  await people.renew()
  const job = (requests: HttpRequest[], more: Partial<LoadJob> = {}): LoadJob => ({
    with: 'autocannon',
    url: bench.url,
    connections,
    seconds: plan.seconds,
    requests,
    expect: requests[0]!.method === 'POST' ? 201 : 200,
    ...more,
  })
  const load = (id: string, of: () => LoadJob): Subject => ({
    id,
    run: () => sampleOf(context, of(), () => cpuOf(cluster)),
  })
  const [first] = people.users
  const subjects: Subject[] = [
    ...(await limitSubjects(bench, plan)),
    load('create', () => job(createRequests(people.users))),
    load('create-one-user', () => job(createRequests([first!]))),
    load('create-alone', () => job(createRequests([first!]), { connections: 1, with: 'native' })),
    load('patch', () => job(changeRequests(people.users, uniform))),
    load('patch-zipf', () => job(changeRequests(people.users, zipf))),
    ...(coalescing === undefined
      ? []
      : [{ id: 'create-uncoalesced', run: () => uncoalesced(context, bench, job) }]),
  ]
  const limits: Record<string, string> = {
    create: 'pgbench-create',
    'create-one-user': 'create',
    'create-uncoalesced': 'pgbench-create',
    'create-alone': 'pgbench-alone',
    patch: 'pgbench-change',
    'patch-zipf': 'patch',
  }
  const needed = (id: string): boolean =>
    context.wants(id, ...Object.keys(limits).filter((row) => limits[row] === id))
  const secondGenerator = (id: string): Promise<string>[] =>
    id === 'create-one-user' ? [wrkNote(plan, bench.url, createRequests([first!])[0]!, connections)] : []
  const samples = await interleave(
    context,
    'writes',
    subjects.filter(({ id }) => needed(id)),
  )
  for (const id of samples.keys()) {
    const notes = await Promise.all(secondGenerator(id))
    if (bench.pgbench === null && limits[id]?.startsWith('pgbench')) notes.push(noPgbench)
    const row = rowOf(samples, id, { against: limits[id], notes })
    const alone = samples.get('pgbench-alone')
    if (id === 'create-alone' && alone)
      row.figures['latencyRatio'] = rounded(
        median(samples.get(id)!.map(({ latency }, round) => latency.p50 / alone[round]!.latency.p50)),
      )
    context.add(row)
  }
}

/** The server is started again with the setting, and without it afterwards: another one beside it would follow the log. */
const uncoalesced = async (
  context: Context,
  { cluster, people }: Workbench,
  job: (requests: HttpRequest[]) => LoadJob,
): Promise<Sample> => {
  const server = cluster.servers[0]!
  await server.stop()
  await server.start({ [coalescing!]: 'off' })
  await context.generator.run(job(createRequests(people.users))) // compiles what the others have compiled
  const sample = await sampleOf(context, job(createRequests(people.users)), () => cpuOf(cluster))
  await server.stop()
  await server.start()
  await context.generator.run(job(createRequests(people.users)))
  return sample
}

export const writeSection: Section = {
  name: 'writes',
  rows: writeRows,
  run: async (context) => run(context, await context.workbench()),
}
