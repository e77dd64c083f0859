// What one greedy caller costs: the peak of the server's memory, and the p99 of another user beside the attack against the
// same server at rest just before, round by round. A command and no test: other load of the machine moves both.
import { join } from 'node:path'
import { peakBytes, residentBytes, resetPeak } from '../../bench/processes.ts'
import { call } from '../../bench/people.ts'
import { percentile, rounded } from '../../bench/statistics.ts'
import { startCluster, type Cluster } from '../support/cluster.ts'
import { prepareScene, type Scene } from './attack-scene.ts'

/** An attack as `attacker.ts` makes it. */
interface Attack {
  /** Of docs/security.md. */
  row: 'D2' | 'D3'
  title: string
  /** Of a round, where they are not the usual ones. */
  seconds?: number
  /** What it may cost, where that is not the bound of its row. */
  p99Ratio?: number
}

export const attacks = {
  bodies: { row: 'D2', title: '1,000 connections without a session, each with 1 MB of a longer body' },
  'bodies-signed-in': { row: 'D2', title: 'the same with the token of a user' },
  polls: {
    row: 'D3',
    title: '1,500 long polls of 64 scopes on open connections, then one change',
    seconds: 25,
  },
  bulk: { row: 'D3', title: '16 loops of bulk changes of 100 descriptions of 14 KiB' },
  repeated: { row: 'D3', title: '16 loops of `/api/sync` with 64 times the same scope' },
  words: { row: 'D3', title: '16 loops of searches with 100 words of one letter' },
  pages: { row: 'D3', title: '16 loops of searches for their hundredth page' },
  snapshots: { row: 'D3', title: '8 loops of snapshots of 68 MB' },
  unread: {
    row: 'D3',
    title: '1,000 connections that ask for pages of up to 4 MB and read none',
    seconds: 10,
    p99Ratio: Infinity,
  },
} as const satisfies Record<string, Attack>
export type AttackKind = keyof typeof attacks
export const attackKinds = Object.keys(attacks) as AttackKind[]

/** For each row: how far resident memory may grow, and what the attack must not exceed besides. */
const bounds = {
  D2: { grownMb: 64, closedSeconds: 10, p99Ratio: Infinity },
  D3: { grownMb: 128, closedSeconds: Infinity, p99Ratio: 2 },
} as const

const boundsOf = (kind: AttackKind): { grownMb: number; closedSeconds: number; p99Ratio: number } => {
  const { row, p99Ratio }: Attack = attacks[kind]
  return { ...bounds[row], ...(p99Ratio !== undefined && { p99Ratio }) }
}

export interface AttackFigures {
  kind: AttackKind
  /** The highest over all rounds, from before the first. */
  grownMb: number
  /** Of the p99 of all rounds beside the attack to that of all at rest. */
  p99Ratio: number
  restP99Ms: number
  besideP99Ms: number
  /** Requests of the other user without success, beside the attack. */
  failed: number
  /** The longest of any of the attack's connections, until the server closed it; 0 for an attack by requests. */
  closedSeconds: number
  /** Connections of the attack that the server left open. */
  left: number
  /** Answers to the attack by status, of all rounds. */
  answers: Record<string, number>
}

/** What `attacker.ts` prints. */
export interface AttackOutcome {
  answers: Record<string, number>
  closedSeconds: number
  left: number
}

export const isHarmless = ({
  kind,
  grownMb,
  p99Ratio,
  failed,
  closedSeconds,
  left,
}: AttackFigures): boolean => {
  const most = boundsOf(kind)
  return (
    grownMb <= most.grownMb &&
    p99Ratio <= most.p99Ratio &&
    closedSeconds <= most.closedSeconds &&
    failed + left === 0
  )
}

/** Whether every attack of a row was measured and harmless. */
export const isRowHarmless = (row: string, figures: readonly AttackFigures[]): boolean =>
  attackKinds
    .filter((kind) => attacks[kind].row === row)
    .every((kind) => figures.some((one) => one.kind === kind && isHarmless(one)))

/** How they are measured, as docs/security.md says it. */
export const attackText =
  'each attack meets a server process of its own, after 1,800 ordinary requests, in 6 rounds, of which the first counts ' +
  'for memory alone, and before each round the same server is measured at rest for as long. Loops send for 6 s, as fast as they are answered, up to the 100 requests ' +
  'a second that the default limit lets one user have; requests that are sent all at once are repeated as often as it ' +
  'lets them (1,000 unread answers every 10 s; 1,500 long polls, which wait for 25 s, every 25 s). Another user reads and changes a task 50 ' +
  'times a second; the ratio is that of the p99 of all rounds, memory the highest of all. No request of that user may ' +
  'fail. Unread answers are judged by memory alone: until they are refused, for 0.3 s, others wait for their turn.'

export const attackHead = [
  'Row',
  'Attack',
  'Resident memory grew by',
  'p99 of another user',
  'Answers to the attack',
  'Verdict',
]

const boundText = (bound: number, text: string): string => (bound === Infinity ? '' : ` (at most ${text})`)

export const attackCells = (figures: AttackFigures): string[] => {
  const { kind, grownMb, p99Ratio, restP99Ms, besideP99Ms, failed, closedSeconds, left, answers } = figures
  const { row, title } = attacks[kind]
  const most = boundsOf(kind)
  const statuses = Object.entries(answers).map(([status, count]) => `${count} x ${status}`)
  const closing =
    row === 'D2'
      ? [`each closed after ${closedSeconds} s at the latest (at most ${most.closedSeconds} s)`]
      : []
  return [
    row,
    title,
    `${grownMb} MB (at most ${most.grownMb} MB)`,
    `${p99Ratio} x${boundText(most.p99Ratio, `${most.p99Ratio} x`)}: ${besideP99Ms} against ${restP99Ms} ms${failed > 0 ? `, ${failed} FAILED` : ''}`,
    [...statuses, ...(left > 0 ? [`${left} LEFT OPEN`] : closing)].join(', ') || '-',
    isHarmless(figures) ? 'ok' : 'FAILED',
  ]
}

/** The first compiles what an attack meets. */
const rounds = 6
const usualSeconds = 6
const secondsOf = (kind: AttackKind): number => {
  const { seconds = usualSeconds }: Attack = attacks[kind]
  return seconds
}
const everyMs = 20 // 50 times a second
const ordinaryRounds = 300
const ordinaryLanes = 4

/** Starts PostgreSQL, Redis, a server and a worker for it. Each attack has a server process of its own. */
export const measureAttacks = async (
  kinds: readonly AttackKind[],
  report: (line: string) => void,
): Promise<AttackFigures[]> => {
  await using cluster = await startCluster({
    servers: 1,
    workers: 1,
    // The cluster's RATE_LIMIT=off stays: what protects others is the server's queues and budgets alone.
    environment: { RATE_LIMIT_WRITTEN_MIB: '1000000' },
    report,
  })
  const scene = await prepareScene(cluster, kinds, report)
  const all: AttackFigures[] = []
  for (const kind of kinds) {
    const figures = await measureAttack(cluster, scene, kind, report)
    report(attackCells(figures).join(' | '))
    all.push(figures)
  }
  return all
}

const measureAttack = async (
  cluster: Cluster,
  scene: Scene,
  kind: AttackKind,
  report: (line: string) => void,
): Promise<AttackFigures> => {
  const server = cluster.servers[0]!
  await server.stop() // memory that an earlier attack took would hide what this one takes
  await server.start()
  await scene.renew()
  await useOrdinarily(scene)
  const times = { rest: Array<number>(), beside: Array<number>() }
  const figures = { grownMb: 0, failed: 0, closedSeconds: 0, left: 0 }
  const answers: Record<string, number> = {}
  const seconds = secondsOf(kind)
  const before = residentBytes(server.pid)
  for (let round = 1; round <= rounds; round += 1) {
    report(`${kind}: round ${round} of ${rounds}`)
    const rest = await load(scene, seconds * 1000)
    resetPeak(server.pid)
    const attack = startAttack(scene, kind, seconds)
    const beside = await load(scene, seconds * 1000)
    const outcome = await attack
    figures.grownMb = Math.max(figures.grownMb, Math.round((peakBytes(server.pid) - before) / 1e6))
    figures.failed += beside.failed
    figures.left += outcome.left
    figures.closedSeconds = Math.max(figures.closedSeconds, outcome.closedSeconds)
    for (const [status, count] of Object.entries(outcome.answers))
      answers[status] = (answers[status] ?? 0) + count
    if (round === 1) continue
    times.rest.push(...rest.times)
    times.beside.push(...beside.times)
  }
  const [restP99Ms, besideP99Ms] = [percentile(times.rest, 0.99), percentile(times.beside, 0.99)]
  return {
    kind,
    ...figures,
    p99Ratio: rounded(besideP99Ms / restP99Ms),
    restP99Ms: rounded(restP99Ms),
    besideP99Ms: rounded(besideP99Ms),
    answers,
  }
}

const startAttack = async ({ request }: Scene, kind: AttackKind, seconds: number): Promise<AttackOutcome> => {
  const child = Bun.spawn(
    [process.execPath, join(import.meta.dir, 'attacker.ts'), JSON.stringify({ ...request, kind, seconds })],
    {
      stdout: 'pipe',
      stderr: 'inherit',
      env: { ...process.env, BUN_CONFIG_MAX_HTTP_REQUESTS: '2000' }, // fetch sends 256 at once by default
    },
  )
  const text = await new Response(child.stdout).text()
  if ((await child.exited) !== 0) throw new Error(`the attack ${kind} failed`)
  return JSON.parse(text)
}

/**
 * Requests of the other user as its clients send them, four at a time: compiled code, open connections and filled caches
 * are no cost of an attack.
 */
const useOrdinarily = async ({ request: { url }, other }: Scene): Promise<void> => {
  const { token, taskId, taskIds, projectId } = other
  const scope = `project:${projectId}`
  const ask = (method: string, path: string, body?: unknown) => call(url, method, path, token, body)
  const { cursor } = await ask('GET', `/api/projects/${projectId}/snapshot?limit=1`)
  const lane = async (_: unknown, number: number): Promise<void> => {
    for (let n = 0; n < ordinaryRounds / ordinaryLanes; n += 1) {
      const name = `Ordinary ${number} ${n}`
      await ask('GET', `/api/tasks/${taskId}`)
      await ask('PATCH', `/api/tasks/${taskId}`, { title: name })
      await ask('GET', `/api/tasks?search=bench&limit=50&page=${1 + (n % 20)}`)
      await ask('GET', `/api/sync?scope=${scope}&cursor=${cursor}`)
      await ask('PATCH', '/api/tasks/bulk', { ids: taskIds.slice(0, 20), changes: { description: name } })
      await ask('GET', `/api/projects/${projectId}/snapshot?limit=500`)
    }
  }
  await Promise.all(Array.from({ length: ordinaryLanes }, lane))
}

/** A read and a write of the other user in turn at a fixed rate, whatever became of those before: what waits counts. */
const load = async (
  { request: { url }, other }: Scene,
  forMs: number,
): Promise<{ times: number[]; failed: number }> => {
  const times: number[] = []
  let failed = 0
  const once = async (n: number): Promise<void> => {
    const dueAt = performance.now()
    const isWrite = n % 2 === 1
    const response = await fetch(`${url}/api/tasks/${other.taskId}`, {
      method: isWrite ? 'PATCH' : 'GET',
      headers: { Authorization: `Bearer ${other.token}`, 'Content-Type': 'application/json' },
      ...(isWrite && { body: JSON.stringify({ title: `Measured ${n}` }) }),
    })
    await response.arrayBuffer()
    if (!response.ok) failed += 1
    times.push(performance.now() - dueAt)
  }
  const running: Promise<void>[] = []
  const startedAt = performance.now()
  for (let n = 0; n * everyMs < forMs; n += 1) {
    await Bun.sleep(Math.max(0, startedAt + n * everyMs - performance.now()))
    running.push(once(n).catch(() => void (failed += 1)))
  }
  await Promise.all(running)
  return { times, failed }
}
