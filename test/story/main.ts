// An end-to-end run on real input: two servers, two workers, five projects, every item written through REST, fifty
// clients that disconnect and resume. In the middle a server and a worker are killed, Redis is emptied, both are started
// again. Then acknowledged writes, clients, log and PostgreSQL are compared. The exit code is 1 after any difference, an
// error in a log, a request without an answer, a 5xx that names internals, or an exit that was not meant.
//   bun run story [--seed N] [--data FILE] [--items N]
import { parseArgs } from 'node:util'
import { openDatabase } from '../../src/db/client.ts'
import { readHeads } from '../../src/db/log/feed.ts'
import { openRedis } from '../../src/redis/connection.ts'
import { createLog } from '../../src/log.ts'
import { createApi } from '../oracle/api.ts'
import { startCluster, type Cluster } from '../support/cluster.ts'
import { checkFollower, checkLog, checkNotifications, checkTasks, summarise } from '../oracle/compare.ts'
import { Follower, numberOf } from '../oracle/follower.ts'
import { ExitWatch } from '../chaos/exit-watch.ts'
import { checkHistory } from '../consistency/check.ts'
import { readFinal } from '../consistency/final.ts'
import { Recorder } from '../consistency/recorder.ts'
import type { Property } from '../consistency/properties.ts'
import { explain, printReport } from '../consistency/report.ts'
import { Ledger } from '../oracle/ledger.ts'
import { createRandom } from '../oracle/random.ts'
import { selectNotifications, selectStoryTasks } from '../oracle/rows.ts'
import { percentile, printTable } from '../oracle/table.ts'
import { createProjects, registerPeople, writeProject, type Item } from './writer.ts'

/** What must be notified is known only where no user loses access. */
const notExercised: readonly Property[] = ['revocation order']
const followerCount = 50
const settleTimeoutMs = 60_000
const downMs = 1_000

const { values } = parseArgs({
  args: process.argv.slice(2),
  options: { seed: { type: 'string' }, data: { type: 'string' }, items: { type: 'string' } },
})
const seed = Number(values.seed ?? Math.floor(Math.random() * 1e9))
const dataFile = values.data ?? new URL('../data/tasks.jsonl', import.meta.url).pathname
const startedAt = performance.now()

const report = (line: string): void => {
  console.error(`${((performance.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${line}`)
}

/** Polls until the condition holds; the error at the deadline names it. */
const eventually = async (what: string, holds: () => Promise<boolean> | boolean): Promise<number> => {
  const began = performance.now()
  while (!(await holds())) {
    if (performance.now() - began > settleTimeoutMs)
      throw new Error(`${what} did not happen within ${settleTimeoutMs / 1000} s`)
    await Bun.sleep(50)
  }
  return performance.now() - began
}

/** Kills one server and one worker, empties Redis, starts them again; returns the start times in milliseconds. */
const disturb = async (
  cluster: Cluster,
  exits: ExitWatch,
  flush: () => Promise<unknown>,
): Promise<{ serverMs: number; workerMs: number }> => {
  report('kill -9 of server A and worker A, FLUSHALL')
  const killed = [cluster.servers[0]!, cluster.workers[0]!]
  await Promise.all(killed.map((role) => exits.expected(role, () => role.kill())))
  await flush()
  await Bun.sleep(downMs)
  const timed = async (start: Promise<void>): Promise<number> => {
    const began = performance.now()
    await start
    return performance.now() - began
  }
  const [serverMs, workerMs] = await Promise.all([
    timed(cluster.servers[0]!.start()),
    timed(cluster.workers[0]!.start()),
  ])
  report('server A and worker A are back')
  return { serverMs, workerMs }
}

const run = async (): Promise<boolean> => {
  const random = createRandom(seed)
  report(`seed ${seed}`)
  const lines = (await Bun.file(dataFile).text()).trim().split('\n')
  const items = lines.slice(0, Number(values.items ?? lines.length)).map((line) => JSON.parse(line) as Item)

  await using stack = new AsyncDisposableStack()
  const cluster = stack.use(await startCluster({ servers: 2, workers: 2, report }))
  const log = createLog('story', 'warn')
  const db = stack.use(
    openDatabase({
      url: cluster.databaseUrl,
      max: 2,
      applicationName: 'story',
      log,
      deadlineMs: 60_000,
      statementTimeoutMs: 60_000,
    }),
  )
  const redis = stack.use(openRedis(cluster.redisUrl, 'request', log))
  const recorder = new Recorder()
  const api = createApi(cluster, recorder)

  const numbers = [...new Set(items.map((item) => item.user))]
  report(`registering ${numbers.length} people`)
  const registerStart = performance.now()
  const people = await registerPeople(api, numbers, 8)
  const registerSeconds = (performance.now() - registerStart) / 1000
  const ledger = new Ledger()
  const projects = await createProjects(api, ledger, people, items)
  report(
    `${projects.length} projects with ${projects.reduce((sum, project) => sum + project.members.length, 0)} members`,
  )

  const latencies: number[] = []
  const followers = Array.from({ length: followerCount }, (_, index) => {
    const project = projects[index % projects.length]!
    const own = createRandom(seed + index)
    return new Follower({
      person: own.pick(project.members),
      projectId: project.id,
      servers: cluster,
      api,
      recorder,
      random: own,
      drops: { min: 500, max: 4_000 },
      onLatency: (ms) => latencies.push(ms),
    })
  })
  stack.defer(() => followers.forEach((follower) => follower.stop()))
  await Promise.all(followers.map((follower) => follower.start()))

  const middle = Math.floor(items.length * (0.4 + random.next() * 0.2))
  let written = 0
  const exits = new ExitWatch()
  const unexpected: string[] = []
  stack.defer(exits.watch(cluster, (line) => unexpected.push(line)))
  const disturbed = () => disturb(cluster, exits, () => redis.client.flushall())
  let disturbance: ReturnType<typeof disturbed> | null = null
  const onItem = (): void => {
    written += 1
    if (written === middle) disturbance = disturbed()
    if (written % 2_000 === 0) report(`${written} items written`)
  }
  report(`writing ${items.length} items while ${followerCount} sockets follow, drop and resume`)
  const requestsBefore = api.counts.requests
  const writeStart = performance.now()
  await Promise.all(
    projects.map((project, lane) => writeProject(project, lane, { api, ledger, people, seed, onItem })),
  )
  const writeSeconds = (performance.now() - writeStart) / 1000
  const requests = api.counts.requests - requestsBefore
  const { serverMs, workerMs } = await (disturbance ?? disturbed())

  report('everything is written; waiting for due times and deliveries')
  for (const follower of followers) follower.settle()
  const lastDue = Math.max(...[...ledger.tasks.values()].map((task) => task.dueAt ?? 0))
  await eventually('everything to fall due', () => Date.now() > lastDue)
  await eventually('the overdue loop to be done', async () => {
    const [row] = await db.read(
      (sql) => sql<{ open: number }[]>`
        select count(*)::int as open from tasks
        where due_at < now() and status in ('todo', 'in_progress') and overdue_rev < due_rev`,
    )
    return row!.open === 0
  })
  await eventually('the worker to have read the log', async () => {
    const [row] = await db.read(
      (sql) => sql<{ behind: number }[]>`
        select count(*)::int as behind from consumer_cursor c join feed_head h using (shard) where c.seq < h.seq`,
    )
    return row!.behind === 0
  })
  const heads = await db.read(readHeads)
  await eventually('every socket to have caught up', async () => {
    const rows = await db.read(
      (sql) => sql<{ scope: string; seq: number }[]>`select scope, seq from scope_head`,
    )
    const seqOf = new Map(rows.map((row) => [row.scope, row.seq]))
    return followers.every(
      (follower) =>
        follower.isSynced &&
        [follower.projectScope, follower.userScope].every(
          (scope) => numberOf(follower.cursor(scope)) >= (seqOf.get(scope) ?? 0),
        ),
    )
  })

  report('comparing')
  const rows = await selectStoryTasks(db)
  const notifications = await selectNotifications(db)
  const inbox = new Map<string, Set<string>>()
  for (const { userId, id } of notifications) inbox.set(userId, (inbox.get(userId) ?? new Set()).add(id))
  const final = await readFinal(
    db,
    recorder.projects,
    followers.map(({ finalView }) => finalView),
  )
  const consistency = checkHistory(recorder.history(final))
  const errors = await cluster.errorsLogged()
  const differences = [
    ...summarise('log not contiguous', await checkLog(db)),
    ...summarise('acknowledged writes and PostgreSQL differ', checkTasks(ledger, rows)),
    ...summarise(
      'sockets and PostgreSQL differ',
      followers.flatMap((follower) => checkFollower(follower, rows, inbox)),
    ),
    ...summarise('notifications', checkNotifications(ledger, notifications, Date.now())),
    ...consistency.violations.flatMap(explain),
    ...consistency.rows
      .filter(({ property, checked }) => checked === 0 && !notExercised.includes(property))
      .map(({ property }) => `${property}: nothing was compared`),
    ...summarise('errors logged', errors),
    ...summarise('unexpected exits', unexpected),
    ...(api.counts.hung > 0 ? [`${api.counts.hung} requests had no answer for 10 s`] : []),
    ...(api.counts.leaking > 0 ? [`${api.counts.leaking} answers with 5xx named internals`] : []),
  ]

  const total = (pick: (follower: Follower) => number): number =>
    followers.reduce((sum, follower) => sum + pick(follower), 0)
  const entries = heads.seqs.reduce((sum, seq) => sum + seq, 0)
  const count = (kind: string): number => notifications.filter((row) => row.kind === kind).length
  printTable([
    ['seed', String(seed)],
    [
      'people, projects',
      `${people.size} (${(people.size / registerSeconds).toFixed(0)} registrations/s), ${projects.length}`,
    ],
    [
      'acknowledged writes',
      `${ledger.writes} in ${writeSeconds.toFixed(1)} s (${(requests / writeSeconds).toFixed(0)} requests/s, ${api.counts.retries} repeated)`,
    ],
    ['log entries', `${entries} in 16 shards`],
    ['tasks at the end', `${rows.size} of ${ledger.tasks.size} created`],
    [
      'notifications',
      `${count('overdue')} overdue, ${count('due_soon')} due soon, ${count('assigned')} assigned, ${count('completed')} completed, ${count('project_invited')} invited`,
    ],
    [
      'sockets',
      `${followerCount}: ${total((f) => f.counts.events)} events, ${total((f) => f.counts.drops)} drops, ${total((f) => f.counts.resumes)} joins, ${total((f) => f.counts.resyncs)} resyncs`,
    ],
    [
      'commit to socket',
      `p50 ${percentile(latencies, 0.5)} ms, p95 ${percentile(latencies, 0.95)} ms, p99 ${percentile(latencies, 0.99)} ms, max ${percentile(latencies, 1)} ms (${latencies.length} live events)`,
    ],
    ['killed', 'server A, worker A; FLUSHALL'],
    [
      'recovery',
      `server ready in ${serverMs.toFixed(0)} ms, worker in ${workerMs.toFixed(0)} ms; longest wait for an acknowledgement ${api.longestOutageMs.toFixed(0)} ms`,
    ],
    ['errors logged', String(errors.length)],
    ['differences', differences.length === 0 ? 'none' : 'see below'],
  ])
  printReport(consistency)
  for (const line of differences) console.log(line)
  return differences.length === 0
}

process.exitCode = (await run()) ? 0 : 1
