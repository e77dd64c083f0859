// Three loads for workers, at any size: tasks that fall due at one instant while a worker is killed, tasks that fall due
// one after another, and changes that happened while no worker ran. Each returns what it measured and fails where
// anything was notified twice or not at all.
import { SQL } from 'bun'
import { readFileSync } from 'node:fs'
import { shardCount } from '../../src/model/scope.ts'
import { eventually } from '../support/eventually.ts'
import { testPassword } from '../support/world.ts'

/** A worker in a process of its own. */
export interface StormWorker {
  pid: number
  kill(): Promise<unknown>
}

export interface DueStormResult {
  tasks: number
  /** From the due instant, or from when the workers were ready where that was later, to the last notification. */
  allSeconds: number
  /** Of notifications, after the same instant. */
  lateSeconds: { p50: number; p99: number }
  /** Notifications of the largest transaction. */
  largestTransaction: number
  /** Most resident memory of the worker that went on, and what it had before. */
  residentMiB: { before: number; most: number }
  /** Notified when the other worker was killed. */
  notifiedAtKill: number
}

const people = 100

const statusOf = (pid: number, name: 'VmHWM' | 'VmRSS'): number => {
  const line = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return Math.round(Number(line?.[1] ?? 0) / 1024)
}

const rounded = (value: number): number => Math.round(value * 100) / 100

/** @param start two workers, which look for due tasks often. @param timeoutMs for all notifications. */
export const dueStorm = async (
  { databaseUrl, count, timeoutMs }: { databaseUrl: string; count: number; timeoutMs: number },
  start: () => Promise<[StormWorker, StormWorker]>,
): Promise<DueStormResult> => {
  await using sql = new SQL({ url: databaseUrl, max: 2 })
  const dueAt = new Date(Date.now() + Math.ceil(count / 2_000) * 1000 + 3_000)
  await plantTasks(sql, { count, dueAt, everyMs: 0 })
  const [killed, survivor] = await start()
  const before = statusOf(survivor.pid, 'VmRSS')
  const began = Math.max(Date.now(), dueAt.getTime())
  const atLeast = (wanted: number) => untilNotified(sql, wanted, began - Date.now() + timeoutMs)
  await atLeast(Math.ceil(count / 3))
  await killed.kill()
  const notifiedAtKill = await countNotified(sql)
  await atLeast(count)
  const most = statusOf(survivor.pid, 'VmHWM')
  await requireEachOnce(sql, count)
  const [row]: Record<string, number>[] = await sql`
    select
      (select max(n)::int from (select count(*) as n from notifications group by xmin::text) of_transaction) as largest,
      extract(epoch from max(created_at) - ${new Date(began)})::float8 as last,
      extract(epoch from percentile_cont(0.5) within group (order by created_at - ${new Date(began)}))::float8 as p50,
      extract(epoch from percentile_cont(0.99) within group (order by created_at - ${new Date(began)}))::float8 as p99
    from notifications where kind = 'overdue'`
  const { largest, last, p50, p99 } = row!
  return {
    tasks: count,
    allSeconds: rounded(last!),
    lateSeconds: { p50: rounded(p50!), p99: rounded(p99!) },
    largestTransaction: largest!,
    residentMiB: { before, most },
    notifiedAtKill,
  }
}

export interface SteadyResult {
  tasks: number
  perSecond: number
  /** Between a due time and its notification. */
  lateSeconds: { p50: number; p99: number; most: number }
}

/** Tasks fall due one after another, `perSecond`, while workers run. */
export const dueSteadily = async ({
  databaseUrl,
  perSecond,
  seconds,
  timeoutMs,
}: {
  databaseUrl: string
  perSecond: number
  seconds: number
  timeoutMs: number
}): Promise<SteadyResult> => {
  await using sql = new SQL({ url: databaseUrl, max: 1 })
  const count = perSecond * seconds
  const dueAt = new Date(Date.now() + Math.ceil(count / 2_000) * 1000 + 3_000)
  await plantTasks(sql, { count, dueAt, everyMs: 1000 / perSecond })
  await untilNotified(sql, count, dueAt.getTime() - Date.now() + seconds * 1000 + timeoutMs)
  await requireEachOnce(sql, count)
  const [row]: Record<string, number>[] = await sql`
    select extract(epoch from max(late))::float8 as most,
      extract(epoch from percentile_cont(0.5) within group (order by late))::float8 as p50,
      extract(epoch from percentile_cont(0.99) within group (order by late))::float8 as p99
    from (
      select n.created_at - t.due_at as late from notifications n join tasks t on t.id = n.task_id where n.kind = 'overdue'
    ) of_task`
  const { p50, p99, most } = row!
  return {
    tasks: count,
    perSecond,
    lateSeconds: { p50: rounded(p50!), p99: rounded(p99!), most: rounded(most!) },
  }
}

const countNotified = async (sql: SQL): Promise<number> => {
  const [row]: { count: number }[] = await sql`
    select count(*)::int as count from notifications where kind = 'overdue'`
  return row!.count
}

const untilNotified = (sql: SQL, wanted: number, timeoutMs: number): Promise<void> =>
  eventually(
    async () => {
      const done = await countNotified(sql)
      if (done < wanted) throw new Error(`${done} of ${wanted} tasks are notified`)
    },
    { timeoutMs, everyMs: 100 },
  )

/** One row and one entry of the log for each task. */
const requireEachOnce = async (sql: SQL, count: number): Promise<void> => {
  const [row]: Record<string, number>[] = await sql`
    with announced as (
      select frame::json -> 'data' ->> 'taskId' as id from feed
      where type = 'notification.created' and frame::json -> 'data' ->> 'kind' = 'overdue'
    )
    select count(*)::int as rows, count(distinct task_id)::int as tasks,
      (select count(*)::int from announced) as entries, (select count(distinct id)::int from announced) as named
    from notifications where kind = 'overdue'`
  for (const [what, found] of Object.entries(row!))
    if (found !== count) throw new Error(`${found} ${what} of notifications for ${count} tasks`)
}

/** Open tasks of a hundred people, a project each, due from one instant on, one every `everyMs`. */
const plantTasks = async (
  sql: SQL,
  { count, dueAt, everyMs }: { count: number; dueAt: Date; everyMs: number },
): Promise<void> => {
  await sql`
    insert into users (id, email, name, password_hash)
    select gen_random_uuid(), 'storm-' || n || '@example.com', 'Person', '' from generate_series(1, ${people}::int) n`
  await sql`
    insert into projects (id, name)
    select gen_random_uuid(), 'Storm' from generate_series(1, ${people}::int)`
  await sql`
    insert into members (project_id, user_id, role)
    select p.id, u.id, 'owner'
    from (select id, row_number() over () as n from projects where name = 'Storm') p
    join (select id, row_number() over () as n from users where email like 'storm-%') u using (n)`
  for (let from = 0; from < count; from += 5_000)
    await sql`
      insert into tasks (id, project_id, creator_id, title, title_key, words, words_version, rank, due_at)
      select gen_random_uuid(), m.project_id, m.user_id, 'Due ' || n, 'due ' || n, array_to_tsvector(array['due', n::text]),
        1, 'c' || lpad(n::text, 9, '0'), ${dueAt}::timestamptz + (n - 1) * ${everyMs}::float8 * interval '1 millisecond'
      from generate_series(${from + 1}::int, ${Math.min(count, from + 5_000)}::int) n
      join (
        select project_id, user_id, row_number() over () - 1 as k from members
        where project_id in (select id from projects where name = 'Storm')
      ) m on m.k = n % ${people}::int`
}

export interface AwayStormResult {
  workers: number
  /** Entries that the consumer had not read when the workers were ready. */
  entries: number
  seconds: number
  perSecond: number
  notifications: number
  /** Notifications of the largest transaction. */
  largestTransaction: number
  /** Most resident memory of a worker; null where they are no processes of their own. */
  mostResidentMiB: number | null
}

/** A server whose worker is away. */
export interface AwayStorm {
  /** Projects whose shards are spread, their owner and editor. */
  url: string
  databaseUrl: string
  owner: { id: string; token: string }
  editor: { id: string; token: string }
  projectIds: string[]
}

const tasksOfProject = 20

/** Registers people and projects. No worker may run from here on. */
export const prepareAwayStorm = async (url: string, databaseUrl: string): Promise<AwayStorm> => {
  const register = async (name: string) => {
    const email = `${name}-${crypto.randomUUID()}@example.com`
    const body = { name, email, password: testPassword }
    const answer = await call<{ user: { id: string }; accessToken: string }>(
      url,
      null,
      'POST',
      '/api/auth/register',
      body,
    )
    return { id: answer.user.id, email, token: answer.accessToken }
  }
  const [owner, editor] = [await register('owner'), await register('editor')]
  const projectIds: string[] = []
  for (let n = 0; n < 2 * shardCount; n += 1) {
    const { id } = await call<{ id: string }>(url, owner.token, 'POST', '/api/projects', { name: `P ${n}` })
    await call(url, owner.token, 'POST', `/api/projects/${id}/members`, {
      email: editor.email,
      role: 'editor',
    })
    projectIds.push(id)
  }
  return { url, databaseUrl, owner, editor, projectIds }
}

/**
 * Changes tasks `changes` times, half of which complete one and so notify its creator; then starts workers and waits
 * until the consumer of notifications has read everything.
 */
export const awayStorm = async (
  { url, databaseUrl, owner, editor, projectIds }: AwayStorm,
  { changes, workers, timeoutMs }: { changes: number; workers: number; timeoutMs: number },
  start: () => Promise<Pick<StormWorker, 'pid'>[]>,
): Promise<AwayStormResult> => {
  await using sql = new SQL({ url: databaseUrl, max: 1 })
  const taskIds: string[][] = []
  for (const projectId of projectIds) {
    const operations = Array.from({ length: tasksOfProject }, (_, n) => ({
      op: 'create',
      data: { projectId, title: `Task ${n}` },
    }))
    const { items } = await call<{ items: { id: string }[] }>(url, owner.token, 'POST', '/api/tasks/batch', {
      operations,
    })
    taskIds.push(items.map(({ id }) => id))
  }
  const all = taskIds.flat()
  const rounds = Math.ceil(changes / all.length)
  for (let round = 0; round < rounds; round += 1)
    for (const ids of taskIds)
      await call(url, editor.token, 'PATCH', '/api/tasks/bulk', {
        ids,
        changes: { status: round % 2 === 0 ? 'done' : 'todo' },
      })
  const wanted = all.length * Math.ceil(rounds / 2)

  const heads: { shard: number; seq: number }[] = await sql`select shard, seq::int as seq from feed_head`
  const left = async (): Promise<number> => {
    const positions: { shard: number; seq: number }[] = await sql`
      select shard, seq::int as seq from consumer_cursor where consumer = 'notifications'`
    const at = new Map(positions.map(({ shard, seq }) => [shard, seq]))
    return heads.reduce((sum, { shard, seq }) => sum + Math.max(0, seq - (at.get(shard) ?? 0)), 0)
  }
  const started = await start()
  const entries = await left()
  const began = performance.now()
  await eventually(
    async () => {
      const now = await left()
      if (now > 0) throw new Error(`${now} entries are not read yet`)
    },
    { timeoutMs, everyMs: 20 },
  )
  const seconds = (performance.now() - began) / 1000
  const [row]: Record<string, number>[] = await sql`
    select count(*)::int as rows, count(distinct dedupe_key)::int as causes,
      (select count(*)::int from feed
       where type = 'notification.created' and frame::json -> 'data' ->> 'taskId' = any(${sql.array(all, 'TEXT')})) as entries
    from notifications
    where user_id = ${owner.id} and kind = 'completed' and task_id::text = any(${sql.array(all, 'TEXT')})`
  for (const [what, found] of Object.entries(row!))
    if (found !== wanted) throw new Error(`${found} ${what} of notifications, expected ${wanted}`)
  const [transaction]: { largest: number }[] = await sql`
    select max(n)::int as largest from (
      select count(*) as n from notifications where kind = 'completed' group by xmin::text
    ) of_transaction`
  return {
    workers,
    entries,
    seconds: rounded(seconds),
    perSecond: Math.round(entries / seconds),
    notifications: wanted,
    largestTransaction: transaction!.largest,
    mostResidentMiB:
      started.length === 0 ? null : Math.max(...started.map(({ pid }) => statusOf(pid, 'VmHWM'))),
  }
}

/** Under one key until it is answered. */
const call = async <T>(
  url: string,
  token: string | null,
  method: string,
  path: string,
  body: object,
): Promise<T> => {
  const headers = {
    'Content-Type': 'application/json',
    ...(token !== null && { Authorization: `Bearer ${token}`, 'Idempotency-Key': crypto.randomUUID() }),
  }
  let answered: T | undefined
  await eventually(
    async () => {
      const response = await fetch(url + path, { method, headers, body: JSON.stringify(body) })
      if (!response.ok)
        throw new Error(`${method} ${path} answered ${response.status}: ${await response.text()}`)
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- each caller names the answer of its route
      answered = (await response.json()) as T
    },
    { timeoutMs: 30_000, everyMs: 200 },
  )
  return answered!
}
