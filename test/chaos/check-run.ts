// Checks one run of a fault: compares the ledger, every follower, the log and the streams with each other.
import type { Database } from '../../src/db/client.ts'
import { readHeads } from '../../src/db/log/feed.ts'
import type { Redis } from '../../src/redis/connection.ts'
import { readStream } from '../../src/changelog/stream.ts'
import type { Api } from '../oracle/api.ts'
import { checkInbox, checkLog, checkShown, checkTasks } from '../oracle/compare.ts'
import type { Follower } from '../oracle/follower.ts'
import type { Ledger } from '../oracle/ledger.ts'
import { selectNotifications, selectStoryTasks } from '../oracle/rows.ts'
import { eventually } from '../support/eventually.ts'
import type { DutyCounts } from './duties.ts'
import type { Counts, Fault } from './fault.ts'

export interface RunRecord {
  injected: number
  apis: Api[]
  ledger: Ledger
  followers: Follower[]
  /** They follow the project of the acts, and their users are notified. */
  actorFollowers: Follower[]
  /** Whose writes are in the ledger. */
  projects: { id: string }[]
  /** Of the acts. */
  taskIds: string[]
  db: Database
  redis: Redis
  timeoutMs: number
  /** Found during the run. */
  violations: string[]
  /** Unexpected exits and errors that nothing caught, found during the run. */
  exits: string[]
  /** What workers did. */
  duties: DutyCounts
}

export const checkRun = async (
  fault: Fault,
  run: RunRecord,
): Promise<{ counts: Counts; violations: string[] }> => {
  const { injected, ledger, followers, actorFollowers, projects, db, redis } = run
  const all = [...followers, ...actorFollowers]
  const ids = new Set(projects.map(({ id }) => id))
  const tasks = await selectStoryTasks(db)
  const wrongTasks = checkTasks(ledger, new Map([...tasks].filter(([, task]) => ids.has(task.projectId))))
  const notReceived = followers.flatMap((follower) => {
    if (follower.counts.resyncs > 0) return []
    const { projectId, ops, person } = follower
    return (ledger.ops.get(projectId) ?? [])
      .filter((op) => !ops.has(op))
      .map((op) => `user ${person.number} never received ${op}`)
  })
  const wrongShown = all.flatMap((follower) => checkShown(follower, tasks))
  const inbox = await selectNotifications(db)
  const acted = new Set(run.taskIds)
  const wrongInbox = actorFollowers.flatMap((follower) => checkInbox(follower, inbox, acted))
  const faultsOf = (kind: string): string[] =>
    all.flatMap(({ faults }) => faults.filter((one) => one.kind === kind).map(({ text }) => text))
  const resynced = all.filter(({ counts }) => counts.resyncs > 0).length
  const isResyncWrong = fault.resyncs ? resynced !== all.length : resynced > 0
  const lost = [...wrongTasks, ...notReceived, ...wrongShown, ...wrongInbox, ...faultsOf('lost')]
  const [repeated, reordered, leaked] = [faultsOf('repeated'), faultsOf('reordered'), faultsOf('leaked')]
  const gaps = await checkLog(db)
  const streams = await checkStreams(db, redis, run.timeoutMs)
  const sum = (of: (counts: Api['counts']) => number): number =>
    run.apis.reduce((total, { counts }) => total + of(counts), 0)
  const hung = sum((counts) => counts.hung)
  const leaking = sum((counts) => counts.leaking)
  const refused = fault.isBalanced ? sum((counts) => counts.refused) : 0
  const other = [
    ...run.violations,
    ...run.exits,
    ...faultsOf('refused'),
    ...gaps,
    ...streams,
    ...(hung > 0 ? [`${hung} requests hung for 10 s`] : []),
    ...(refused > 0 ? [`${refused} requests were refused by a server that a balancer was to avoid`] : []),
    ...(leaking > 0 ? [`${leaking} answers with 5xx named internals`] : []),
  ]
  const violations = [
    ...other,
    ...shorten('lost', lost),
    ...shorten('repeated', repeated),
    ...shorten('reordered', reordered),
    ...shorten('leaked', leaked),
    ...(isResyncWrong ? [`${resynced} of ${all.length} clients read a snapshot again`] : []),
  ]
  const counts = {
    injected,
    writes: ledger.writes,
    lost: lost.length,
    repeated: repeated.length,
    reordered: reordered.length,
    leaked: leaked.length,
    resyncs: all.reduce((sum, { counts }) => sum + counts.resyncs, 0),
    ...run.duties,
    hung,
    refused,
    leaking,
    gaps: gaps.length,
    streams: streams.length,
    exits: run.exits.length,
    late: 0, // the arena counts them
    failures: 0, // the arena counts them
  }
  return { counts, violations }
}

/**
 * Waits until every stream is a contiguous slice of the log with the same end; returns the differences that remain. A
 * stream that Redis lost is filled again, also without a write: an empty one means that nothing pushes any more.
 */
export const checkStreams = async (db: Database, redis: Redis, timeoutMs: number): Promise<string[]> => {
  const check = async (epoch: string, shard: number, head: number): Promise<string[]> => {
    const held = await readStream(redis, epoch, shard, 0, Number.MAX_SAFE_INTEGER, 30_000)
    const kept = held.map(({ seq }) => seq)
    const isSlice = kept.every((seq, index) => seq === kept[0]! + index)
    if (!isSlice) return [`the stream of shard ${shard} has a gap`]
    const end = kept.at(-1) ?? 0
    return end === head ? [] : [`the stream of shard ${shard} ends at ${end}, the log at ${head}`]
  }
  const checkAll = async (): Promise<string[]> => {
    const { epoch, seqs } = await db.read(readHeads)
    return (await Promise.all(seqs.map((head, shard) => check(epoch, shard, head)))).flat()
  }
  let last: string[] = []
  await eventually(
    async () => {
      last = await checkAll()
      if (last.length > 0) throw new Error('streams differ from the log')
    },
    { timeoutMs: Math.min(timeoutMs, 10_000), everyMs: 100 },
  ).catch((error: unknown) => last.push(...(last.length === 0 ? [String(error)] : [])))
  return last
}

const shown = 3

const shorten = (title: string, lines: string[]): string[] =>
  lines.length === 0
    ? []
    : [`${title}: ${lines.length}`, ...lines.slice(0, shown).map((line) => `  ${line.slice(0, 400)}`)]
