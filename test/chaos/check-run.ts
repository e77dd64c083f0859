// Checks one run of a fault: compares the ledger, every follower, the log and the streams with each other.
import type { Database } from '../../src/db/client.ts'
import { readHeads } from '../../src/db/log/feed.ts'
import type { Redis } from '../../src/redis/connection.ts'
import { readStream } from '../../src/changelog/stream.ts'
import type { Api } from '../oracle/api.ts'
import { checkLog, checkShown, checkTasks } from '../oracle/compare.ts'
import type { Follower } from '../oracle/follower.ts'
import type { Ledger } from '../oracle/ledger.ts'
import { selectStoryTasks } from '../oracle/rows.ts'
import { eventually } from '../support/eventually.ts'
import type { DutyCounts } from './duties.ts'
import type { Counts, Fault } from './fault.ts'

export interface RunRecord {
  injected: number
  api: Api
  ledger: Ledger
  followers: Follower[]
  projects: { id: string }[]
  db: Database
  redis: Redis
  timeoutMs: number
  /** Found during the run. */
  violations: string[]
  /** What workers did. */
  duties: DutyCounts
}

export const checkRun = async (
  fault: Fault,
  run: RunRecord,
): Promise<{ counts: Counts; violations: string[] }> => {
  const { injected, api, ledger, followers, projects, db, redis } = run
  const ids = new Set(projects.map(({ id }) => id))
  const rows = new Map([...(await selectStoryTasks(db))].filter(([, task]) => ids.has(task.projectId)))
  const wrongTasks = checkTasks(ledger, rows)
  const notReceived = followers.flatMap((follower) => {
    if (follower.counts.resyncs > 0) return []
    const { projectId, ops, person } = follower
    return (ledger.ops.get(projectId) ?? [])
      .filter((op) => !ops.has(op))
      .map((op) => `user ${person.number} never received ${op}`)
  })
  const wrongShown = followers.flatMap((follower) => checkShown(follower, rows))
  const faultsOf = (kind: string): string[] =>
    followers.flatMap(({ faults }) => faults.filter((one) => one.kind === kind).map(({ text }) => text))
  const resynced = followers.filter(({ counts }) => counts.resyncs > 0).length
  const isResyncWrong = fault.resyncs ? resynced !== followers.length : resynced > 0
  const lost = [...wrongTasks, ...notReceived, ...wrongShown, ...faultsOf('lost')]
  const [repeated, reordered, leaked] = [faultsOf('repeated'), faultsOf('reordered'), faultsOf('leaked')]
  const refused = fault.isBalanced ? api.counts.refused : 0
  const other = [
    ...run.violations,
    ...faultsOf('refused'),
    ...(await checkLog(db)),
    ...(await checkStreams(db, redis, run.timeoutMs)),
    ...(api.counts.hung > 0 ? [`${api.counts.hung} requests hung for 10 s`] : []),
    ...(refused > 0 ? [`${refused} requests were refused by a server that a balancer was to avoid`] : []),
    ...(api.counts.leaking > 0 ? [`${api.counts.leaking} answers with 5xx named internals`] : []),
  ]
  const violations = [
    ...other,
    ...shorten('lost', lost),
    ...shorten('repeated', repeated),
    ...shorten('reordered', reordered),
    ...shorten('leaked', leaked),
    ...(isResyncWrong ? [`${resynced} of ${followers.length} clients read a snapshot again`] : []),
  ]
  const counts = {
    injected,
    writes: ledger.writes,
    lost: lost.length,
    repeated: repeated.length,
    reordered: reordered.length,
    leaked: leaked.length,
    resyncs: followers.reduce((sum, { counts }) => sum + counts.resyncs, 0),
    ...run.duties,
    hung: api.counts.hung,
    refused,
    leaking: api.counts.leaking,
    late: 0, // the arena counts them
    failures: other.length,
  }
  return { counts, violations }
}

/** Waits until every stream is a contiguous slice of the log with the same end; returns the differences that remain. */
export const checkStreams = async (db: Database, redis: Redis, timeoutMs: number): Promise<string[]> => {
  const { epoch, seqs } = await db.read(readHeads)
  const check = async (shard: number): Promise<string[]> => {
    const held = await readStream(redis, epoch, shard, 0, Number.MAX_SAFE_INTEGER, 30_000)
    const kept = held.map(({ seq }) => seq)
    const isSlice = kept.every((seq, index) => seq === kept[0]! + index)
    if (!isSlice) return [`the stream of shard ${shard} has a gap`]
    return kept.length > 0 && kept.at(-1)! < seqs[shard]!
      ? [`the stream of shard ${shard} ends at ${kept.at(-1)}, the log at ${seqs[shard]}`]
      : []
  }
  const checkAll = async (): Promise<string[]> =>
    (await Promise.all(seqs.map((_, shard) => check(shard)))).flat()
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
