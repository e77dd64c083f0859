// What another user waits beside one that sends as much as it can, and what the server's memory does meanwhile. Each
// attack is measured beside the same server at rest just before it, so that the figures are ratios of one run.
import { SQL } from 'bun'
import { join } from 'node:path'
import type { Context, Section } from '../context.ts'
import { call, makeProject, makeTasks, registerPeople, type Person } from '../people.ts'
import { residentBytes } from '../processes.ts'
import type { Row } from '../row.ts'
import { rounded } from '../statistics.ts'

export interface AttackRequest {
  kind: AttackKind
  url: string
  token: string
  seconds: number
  /** 64 scopes of the attacker with a cursor each, as parts of a query. */
  pairs: string[]
  /** Tasks of the attacker, 100 of them. */
  taskIds: string[]
  /** A project with 2,000 descriptions of 40 kB. */
  largeProjectId: string
}

export const attackKinds = ['bodies', 'polls', 'bulk', 'repeated', 'words', 'pages', 'snapshots'] as const
export type AttackKind = (typeof attackKinds)[number]

/** Each status and how often it came; `closed` are connections the server ended. */
export type AttackResult = Record<string, number>

/** Another user's p99 beside the attack against the p99 at rest; the server's memory is a figure without a target. */
export const attackRows: Row[] = attackKinds.map((kind) => ({
  id: kind,
  title: `another user beside one greedy user: ${kind}`,
  targets: [],
}))

const everyMs = 20
const warmUpRequests = 100
const largeTasks = 2_000

const run = async (context: Context): Promise<void> => {
  const { plan, report } = context
  const kinds = attackKinds.filter((kind) => context.wants(kind))
  await using cluster = await context.install({
    // Without rate limits, so that what protects the others is the server's queues and budgets alone.
    environment: { RATE_LIMIT: 'off', LOG_LEVEL: 'warn' },
  })
  const { url, pid } = cluster.servers[0]!
  const { users } = await registerPeople(url, 2, { prefix: 'fairness' })
  const [attacker, other] = [users[0]!, users[1]!]
  const request = await prepare({ url, databaseUrl: cluster.databaseUrl }, attacker, other, kinds, report)
  const [victim] = await makeTasks(url, other, other.projectId, 1)
  const forMs = plan.fairnessSeconds * 1000
  for (const kind of kinds) {
    report(`attack: ${kind}`)
    await measure(url, other, victim!, warmUpRequests * everyMs)
    const quiet = await measure(url, other, victim!, forMs)
    const before = residentBytes(pid)
    let most = before
    const watch = setInterval(() => (most = Math.max(most, residentBytes(pid))), 50)
    using _watching = { [Symbol.dispose]: () => clearInterval(watch) }
    const child = Bun.spawn(
      [
        process.execPath,
        join(import.meta.dir, '..', 'load', 'attacker.ts'),
        JSON.stringify({ ...request, kind, seconds: plan.fairnessSeconds }),
      ],
      { stdout: 'pipe', stderr: 'inherit' },
    )
    const beside = await measure(url, other, victim!, forMs)
    const text = await new Response(child.stdout).text()
    if ((await child.exited) !== 0) throw new Error(`the attack ${kind} failed`)
    context.add({
      row: kind,
      figures: {
        p99Ratio: rounded(beside.p99Ms / quiet.p99Ms),
        restP50Ms: quiet.p50Ms,
        besideP50Ms: beside.p50Ms,
        restP99Ms: quiet.p99Ms,
        besideP99Ms: beside.p99Ms,
        grownMb: Math.round((most - before) / 1e6),
      },
      failed: beside.failed,
      notes: [`answers to the attack: ${text.trim().replaceAll('"', '')}`],
    })
  }
}

/** A read and a write in turn at a fixed rate, whatever became of those before: what waits counts. */
const measure = async (
  url: string,
  { token }: Pick<Person, 'token'>,
  taskId: string,
  forMs: number,
): Promise<{ p50Ms: number; p99Ms: number; failed: number }> => {
  const times: number[] = []
  let failed = 0
  const once = async (n: number): Promise<void> => {
    const startedAt = performance.now()
    const write = n % 2 === 1
    const response = await fetch(`${url}/api/tasks/${taskId}`, {
      method: write ? 'PATCH' : 'GET',
      headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
      ...(write && { body: JSON.stringify({ title: `Measured ${n}` }) }),
    })
    await response.arrayBuffer()
    if (!response.ok) failed += 1
    times.push(performance.now() - startedAt)
  }
  const running: Promise<void>[] = []
  const startedAt = performance.now()
  for (let n = 0; n * everyMs < forMs; n += 1) {
    await Bun.sleep(Math.max(0, startedAt + n * everyMs - performance.now()))
    running.push(once(n))
  }
  await Promise.all(running)
  times.sort((a, b) => a - b)
  const at = (share: number): number =>
    Math.round(times[Math.min(times.length - 1, Math.floor(times.length * share))]! * 10) / 10
  return { p50Ms: at(0.5), p99Ms: at(0.99), failed }
}

const prepare = async (
  { url, databaseUrl }: { url: string; databaseUrl: string },
  attacker: Person,
  other: Person,
  kinds: AttackKind[],
  report: (line: string) => void,
): Promise<Omit<AttackRequest, 'kind' | 'seconds'>> => {
  report('making 64 projects and their tasks')
  const projectIds = [attacker.projectId]
  while (projectIds.length < 64) projectIds.push(await makeProject(url, attacker.token, 'Fairness'))
  const taskIds = await makeTasks(url, attacker, attacker.projectId, 100)
  const pairs: string[] = []
  for (const id of projectIds) {
    const { cursor } = await call(url, 'GET', `/api/projects/${id}/snapshot?limit=1`, attacker.token)
    pairs.push(`scope=project:${id}&cursor=${cursor}`)
  }
  // What a search of a user without tasks would go through.
  for (let n = 0; n < 20; n += 1) await makeTasks(url, other, other.projectId, 100)
  const largeProjectId = await makeProject(url, attacker.token, 'Fairness')
  if (kinds.includes('snapshots')) {
    report('making 2,000 descriptions of 40 kB')
    await using sql = new SQL(databaseUrl)
    await sql`
      insert into tasks (id, project_id, title, description, rank)
      select gen_random_uuid(), ${largeProjectId}::uuid, 'long', repeat('𝔱', 10000), lpad(n::text, 8, '0')
      from generate_series(1, ${largeTasks}::int) n`
  }
  return { url, token: attacker.token, pairs, taskIds, largeProjectId }
}

/** The attacks take long to prepare and say nothing about speed: a quick run leaves them out. */
export const attackSection: Section = { name: 'attacks', rows: attackRows, isLong: true, run }
