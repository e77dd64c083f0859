// Reads against a bare route of the same framework, closed loop, 32 connections: one task of many, the first page of a
// list of 10,000, the same with If-None-Match, other things a client reads, and the request pipeline alone.
import { interleave, rowOf, sampleOf, type Context, type Section, type Subject } from '../context.ts'
import type { HttpRequest, LoadJob } from '../load/job.ts'
import { wrkNote } from '../load/wrk.ts'
import type { Row } from '../row.ts'
import { startHelper, type Workbench } from '../workbench.ts'
import { benchEnvironment, cpuOf, cpuOfProcess } from '../installation.ts'

export const readRows = [
  { id: 'bare-bun', title: 'bare `Bun.serve` route', targets: [] },
  { id: 'bare-elysia', title: 'bare Elysia route', targets: [] },
  {
    id: 'read-one',
    title: '`GET /api/tasks/:id`, 1,000 tasks of 50 users',
    targets: [
      { figure: 'ratio', atLeast: 0.4 },
      { figure: 'serverCpuUs', atMost: 40 },
    ],
  },
  {
    id: 'list',
    title: '`GET /api/tasks` (20 of 10,000), warm',
    targets: [
      { figure: 'ratio', atLeast: 0.4 },
      { figure: 'serverCpuUs', atMost: 45 },
    ],
  },
  {
    id: 'list-304',
    title: 'the same with `If-None-Match`: 304',
    targets: [{ figure: 'ratio', atLeast: 0.6 }],
  },
  { id: 'me', title: '`GET /api/users/me`', targets: [{ figure: 'ratio', atLeast: 0.25 }] },
  { id: 'project', title: '`GET /api/projects/:id`', targets: [{ figure: 'ratio', atLeast: 0.25 }] },
  {
    id: 'notifications',
    title: '`GET /api/notifications`',
    targets: [{ figure: 'ratio', atLeast: 0.25 }],
  },
  {
    id: 'pipeline',
    title: 'request pipeline alone: a constant, with auth, limits, log line, headers',
    targets: [{ figure: 'ratio', atLeast: 0.6 }],
  },
] as const satisfies Row[]

const connections = 32

/** What a read needs of an installation, its own or another's. */
export interface ReadPlaces {
  url: string
  /** Each task with the token of a user who may read it. */
  tasks: { id: string; token: string }[]
  token: string
  projectId: string
}

const get = (path: string, token: string | null, headers: Record<string, string> = {}): HttpRequest => ({
  method: 'GET',
  path,
  headers: { ...(token !== null && { authorization: `Bearer ${token}` }), ...headers },
})

/** The requests of each row that needs nothing but HTTP. */
export const readRequests = async ({
  url,
  tasks,
  token,
  projectId,
}: ReadPlaces): Promise<Record<string, { requests: HttpRequest[]; expect: number }>> => {
  const list = get(`/api/tasks?projectId=${projectId}`, token)
  const tag = (await fetch(url + list.path, { headers: list.headers })).headers.get('etag') ?? ''
  const found = (...requests: HttpRequest[]) => ({ requests, expect: 200 })
  return {
    'read-one': found(...tasks.map(({ id, token: own }) => get(`/api/tasks/${id}`, own))),
    list: found(list),
    'list-304': { requests: [get(list.path, token, { 'if-none-match': tag })], expect: 304 },
    me: found(get('/api/users/me', token)),
    project: found(get(`/api/projects/${projectId}`, token)),
    notifications: found(get('/api/notifications', token)),
  }
}

const placesOf = ({ url, people, first }: Workbench): ReadPlaces => ({
  url,
  tasks: people.users[0]!.taskIds.flatMap((_, index) =>
    people.users.map(({ taskIds, token }) => ({ id: taskIds[index]!, token })),
  ),
  token: first.token,
  projectId: first.projectId,
})

const run = async (context: Context, bench: Workbench): Promise<void> => {
  const { plan } = context
  await using stack = new AsyncDisposableStack()
  await bench.people.renew()
  const job = (url: string, requests: HttpRequest[], expect = 200): LoadJob => ({
    with: 'autocannon',
    url,
    connections,
    seconds: plan.seconds,
    requests,
    expect,
  })
  const bare = (path: string) => () =>
    sampleOf(context, job(bench.bare.url, [get(path, null)]), () => cpuOfProcess(bench.bare.pid))
  const subjects: Subject[] = [
    { id: 'bare-bun', run: bare('/bun') },
    { id: 'bare-elysia', run: bare('/elysia') },
  ]
  for (const [id, { requests, expect }] of Object.entries(await readRequests(placesOf(bench)))) {
    if (context.wants(id))
      subjects.push({
        id,
        run: () => sampleOf(context, job(bench.url, requests, expect), () => cpuOf(bench.cluster)),
      })
  }
  if (context.wants('pipeline')) {
    const { url, pid } = await startPipeline(stack, bench)
    const requests = [get('/api/constant', bench.first.token)]
    subjects.push({
      id: 'pipeline',
      run: () => sampleOf(context, job(url, requests), () => cpuOfProcess(pid)),
    })
  }
  const samples = await interleave(context, 'reads', subjects)
  for (const { id } of subjects) {
    const against = id.startsWith('bare') ? undefined : 'bare-elysia'
    const notes =
      id === 'list'
        ? [
            await wrkNote(
              plan,
              bench.url,
              get(`/api/tasks?projectId=${bench.first.projectId}`, bench.first.token),
              connections,
            ),
          ]
        : []
    context.add(rowOf(samples, id, { against, notes }))
  }
}

const startPipeline = (stack: AsyncDisposableStack, { cluster }: Workbench) =>
  startHelper(stack, 'pipeline.ts', {
    env: { ...cluster.environment, ...benchEnvironment, BUN_OPTIONS: '', PORT: '0' },
  })

export const readSection: Section = {
  name: 'reads',
  rows: readRows,
  run: async (context) => run(context, await context.workbench()),
}
