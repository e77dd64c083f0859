// The latency of another user during an attack by one user, and the growth of the server's memory meanwhile. Each attack
// is compared with the same server at rest just before it, so that the figures are ratios of one run.
import { SQL } from 'bun'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { startCluster } from '../test/support/cluster.ts'

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

/** The count of each status; `closed` are connections the server ended. */
export type AttackResult = Record<string, number>

export interface FairnessRow {
  attack: AttackKind
  /** Of another user's requests at rest and beside the attack, milliseconds. */
  quiet: { p50Ms: number; p99Ms: number }
  beside: { p50Ms: number; p99Ms: number; failed: number }
  /** How much the server's resident memory grew at most, MB. */
  grownMb: number
  answers: AttackResult
}

interface Person {
  token: string
  projectId: string
}

const everyMs = 20
const warmUpRequests = 100
const largeTasks = 2_000

/** @param only the attacks to run; all when empty. */
export const measureFairness = async (
  seconds: number,
  only: string[],
  report: (line: string) => void,
): Promise<FairnessRow[]> => {
  const kinds = attackKinds.filter((kind) => only.length === 0 || only.includes(kind))
  if (kinds.length < new Set(only).size) throw new Error(`the attacks are ${attackKinds.join(', ')}`)
  const cluster = await startCluster({ servers: 1, workers: 1, report })
  await using _ = cluster
  const { url, pid } = cluster.servers[0]!
  const attacker = await register(url, 'attacker')
  const other = await register(url, 'other')
  const request = await prepare({ url, databaseUrl: cluster.databaseUrl }, attacker, other, kinds, report)
  const victim = await makeTasks(url, other, other.projectId, 1)
  const rows: FairnessRow[] = []
  for (const kind of kinds) {
    report(`attack: ${kind}`)
    await measure(url, other, victim[0]!, warmUpRequests * everyMs)
    const quiet = await measure(url, other, victim[0]!, seconds * 1000)
    const before = residentMb(pid)
    let most = before
    const watch = setInterval(() => (most = Math.max(most, residentMb(pid))), 50)
    using _watching = { [Symbol.dispose]: () => clearInterval(watch) }
    const child = Bun.spawn(
      [process.execPath, join(import.meta.dir, 'attacker.ts'), JSON.stringify({ ...request, kind, seconds })],
      { stdout: 'pipe', stderr: 'inherit' },
    )
    const beside = await measure(url, other, victim[0]!, seconds * 1000)
    const text = await new Response(child.stdout).text()
    if ((await child.exited) !== 0) throw new Error(`the attack ${kind} failed`)
    rows.push({
      attack: kind,
      quiet,
      beside,
      grownMb: Math.round(most - before),
      answers: JSON.parse(text) as AttackResult,
    })
  }
  return rows
}

/** A read and a write in turn at a fixed rate, open loop: the time spent waiting counts. */
const measure = async (
  url: string,
  { token }: Person,
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

const residentMb = (pid: number): number =>
  (Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]) * 4_096) / 1e6

const prepare = async (
  { url, databaseUrl }: { url: string; databaseUrl: string },
  attacker: Person,
  other: Person,
  kinds: AttackKind[],
  report: (line: string) => void,
): Promise<Omit<AttackRequest, 'kind' | 'seconds'>> => {
  report('making 64 projects and their tasks')
  const projectIds = [attacker.projectId]
  while (projectIds.length < 64) projectIds.push(await makeProject(url, attacker))
  const taskIds = await makeTasks(url, attacker, attacker.projectId, 100)
  const pairs: string[] = []
  for (const id of projectIds) {
    const { cursor } = await call(url, 'GET', `/api/projects/${id}/snapshot?limit=1`, attacker.token)
    pairs.push(`scope=project:${id}&cursor=${cursor}`)
  }
  // The rows a search of a user without tasks would scan.
  for (let n = 0; n < 20; n += 1) await makeTasks(url, other, other.projectId, 100)
  const largeProjectId = await makeProject(url, attacker)
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

const call = async (
  url: string,
  method: string,
  path: string,
  token: string | null,
  body?: unknown,
): Promise<any> => {
  const response = await fetch(url + path, {
    method,
    headers: { 'Content-Type': 'application/json', ...(token && { Authorization: `Bearer ${token}` }) },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  const answer = await response.json()
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${JSON.stringify(answer)}`)
  return answer
}

const register = async (url: string, name: string): Promise<Person> => {
  const { accessToken: token } = await call(url, 'POST', '/api/auth/register', null, {
    name,
    email: `${name}-fairness@example.com`,
    password: 'a fairly long password',
  })
  return { token, projectId: await makeProject(url, { token }) }
}

const makeProject = async (url: string, { token }: Pick<Person, 'token'>): Promise<string> =>
  (await call(url, 'POST', '/api/projects', token, { name: 'Fairness' })).id

const makeTasks = async (
  url: string,
  { token }: Person,
  projectId: string,
  count: number,
): Promise<string[]> => {
  const operations = Array.from({ length: count }, (_, n) => ({
    op: 'create',
    data: { projectId, title: `bench ${n} a b c d e f g h` },
  }))
  const { items } = await call(url, 'POST', '/api/tasks/batch', token, { operations })
  return items.map(({ id }: { id: string }) => id)
}
