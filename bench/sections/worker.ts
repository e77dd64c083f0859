// The worker alone: entries consumed per second after it was away, and a hundred thousand tasks that become overdue at
// the same moment.
import { SQL } from 'bun'
import { eventually } from '../../test/support/eventually.ts'
import type { Cluster } from '../../test/support/cluster.ts'
import type { Context, Section } from '../context.ts'
import { makeTasks, registerPeople, type Person } from '../people.ts'
import { familyCpuMs } from '../processes.ts'
import type { Row } from '../row.ts'
import { rounded } from '../statistics.ts'

export const workerRows = [
  {
    id: 'worker',
    title: 'worker: entries consumed per second, against creates per second of one server',
    targets: [{ figure: 'ratio', atLeast: 3 }],
  },
  {
    id: 'overdue',
    title: '100,000 tasks due at once: all notified',
    targets: [{ figure: 'allSeconds', atMost: 60 }],
  },
] as const satisfies Row[]

const userCount = 16
const timeoutMs = 180_000

const run = async (context: Context): Promise<void> => {
  await using cluster = await context.install()
  const { users } = await registerPeople(cluster.servers[0]!.url, userCount)
  if (context.wants('worker')) await entries(context, cluster, users)
  if (context.wants('overdue')) await overdue(context, cluster, users)
}

/** The backlog is written with the worker stopped, so that the time is the worker's alone. */
const entries = async (context: Context, cluster: Cluster, users: Person[]): Promise<void> => {
  const { plan, report } = context
  await using sql = new SQL({ url: cluster.databaseUrl, max: 1 })
  const worker = cluster.workers[0]!
  await worker.stop()
  report(`writing ${plan.entries} entries without a worker`)
  const { url } = cluster.servers[0]!
  await Promise.all(
    users.map((user) => makeTasks(url, user, user.projectId, Math.ceil(plan.entries / users.length))),
  )
  const left = async (): Promise<number> => {
    const [row]: { left: number }[] = await sql`
      select sum(h.seq - c.seq)::int as left
      from feed_head h join consumer_cursor c using (shard)
      where c.consumer = (select consumer from consumer_cursor where shard = h.shard order by seq limit 1)`
    return row!.left
  }
  const backlog = await left()
  await worker.start()
  const began = performance.now()
  const before = familyCpuMs(worker.pid)
  const behind = await left()
  await eventually(
    async () => {
      const now = await left()
      if (now > 0) throw new Error(`${now} entries are not consumed yet`)
    },
    { timeoutMs, everyMs: 20 },
  )
  const seconds = (performance.now() - began) / 1000
  const cpu = familyCpuMs(worker.pid) - before
  const perSecond = behind / seconds
  const creates = context.result('create')?.figures['perSecond']
  context.add({
    row: 'worker',
    figures: {
      perSecond: Math.round(perSecond),
      ...(creates !== undefined && { ratio: rounded(perSecond / creates) }),
      workerCpuUs: rounded((cpu * 1000) / Math.max(1, behind)),
    },
    ...(creates !== undefined && { against: 'create' }),
    failed: 0,
    notes: [
      `${backlog} entries of ${users.length} users, ${behind} of them left when the worker was ready`,
      creates === undefined ? 'the ratio needs the row create of the same run' : '',
    ],
  })
}

const dueInSeconds = 3

const overdue = async (context: Context, cluster: Cluster, users: Person[]): Promise<void> => {
  const { plan, report } = context
  await using sql = new SQL({ url: cluster.databaseUrl, max: 1 })
  report(`${plan.overdue} tasks become due`)
  const rows = JSON.stringify(users)
  await sql`
    insert into tasks (
      id, project_id, creator_id, assignee_id, title, title_key, words, words_version, rank, due_at)
    select gen_random_uuid(), "projectId"::uuid, "userId"::uuid, "userId"::uuid, 'Due ' || n, 'due ' || n,
      array_to_tsvector(array[right("projectId", 8) || 'due', right("projectId", 8) || n::text]), 1,
      'c' || lpad(n::text, 9, '0'), now() + ${dueInSeconds} * interval '1 second'
    from json_to_recordset(${rows}::text::json) as i ("projectId" text, "userId" text),
      generate_series(1, ${Math.ceil(plan.overdue / users.length)}::int) n`
  const [{ due }]: [{ due: Date }] = await sql`select max(due_at) as due from tasks where title like 'Due %'`
  const total = Math.ceil(plan.overdue / users.length) * users.length
  await eventually(
    async () => {
      const [row]: { count: number }[] = await sql`
        select count(*)::int as count from notifications where kind = 'overdue'`
      if (row!.count < total) throw new Error(`${row!.count} of ${total} are notified`)
    },
    { timeoutMs, everyMs: 50 },
  )
  context.add({
    row: 'overdue',
    figures: { allSeconds: rounded((Date.now() - due.getTime()) / 1000) },
    failed: 0,
    notes: [`${total} tasks of ${users.length} users, looked for every second`],
  })
}

export const workerSection: Section = { name: 'background', rows: workerRows, run }
