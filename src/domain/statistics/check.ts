// Compares counters with a count of the rows, and repairs them. Invariant: a repair commits only counters that, with the
// entries after the position, are what the rows say: position and counters are locked, and everything is one snapshot.
import type { Tx } from '../../db/client.ts'
import { lockCounters, projectExists } from '../../db/statistics/checks.ts'
import { addToCounters, wordNames, type CounterChanges } from '../../db/statistics/counters.ts'
import {
  oneProject,
  selectQuarterCounts,
  selectTagCounts,
  selectUncounted,
  selectWordCounts,
  tasksOf,
  type Sources,
} from '../../db/statistics/reads.ts'
import { overloaded } from '../../errors.ts'
import { projectScope, shardOf } from '../../model/scope.ts'
import { noCounts } from '../../model/statistics.ts'
import { CountChanges } from './count-changes.ts'
import { maxUncounted } from './statistics.ts'

/** `skipped`: too many entries are not counted yet, or the project was deleted. */
export type CheckOutcome = 'exact' | 'skipped' | 'drifted'

/** Compares the counters of a project at the snapshot of the transaction. */
export const checkCounters = async (tx: Tx, projectId: string): Promise<CheckOutcome> => {
  const drift = await driftOf(tx, projectId)
  return drift === null ? 'skipped' : isNothing(drift) ? 'exact' : 'drifted'
}

/** Corrects the counters of a project, in a transaction of its own. Returns whether they were wrong. */
export const repairCounters = async (tx: Tx, projectId: string): Promise<boolean> => {
  await lockCounters(tx, projectId, shardOf(projectScope(projectId)))
  const drift = await driftOf(tx, projectId)
  if (drift === null || isNothing(drift)) return false
  await addToCounters(tx, [drift])
  return true
}

/**
 * The same for counters that may lack an entry. @throws AppError `unavailable` while too many entries are not counted yet
 * for a comparison.
 */
export const recount = async (tx: Tx, projectId: string): Promise<void> => {
  await lockCounters(tx, projectId, shardOf(projectScope(projectId)))
  const drift = await driftOf(tx, projectId)
  if (drift === null && (await projectExists(tx, projectId)))
    throw overloaded('Too many entries of the project are not counted yet')
  if (drift !== null && !isNothing(drift)) await addToCounters(tx, [drift])
}

/** No limit and no beginning: everything is compared. */
const [everyTag, always] = [1_000_000, '-infinity']

/** What the counters lack: rows less the entries that are not counted yet, less the counters. */
const driftOf = async (tx: Tx, projectId: string): Promise<CounterChanges | null> => {
  if (!(await projectExists(tx, projectId))) return null // the consumer ends its counters
  const home = oneProject(tx, projectId)
  const entries = await selectUncounted(tx, home, maxUncounted + 1)
  if (entries.length > maxUncounted) return null
  const drift = new CountChanges()
  for (const entry of entries) drift.add(entry)
  const byRows = await read(tx, { home: null, rows: [tasksOf(tx, home)] })
  const byCounters = await read(tx, { home, rows: [] })
  const words = noCounts()
  for (const word of wordNames) words[word] = byRows.words[word] - drift.words[word] - byCounters.words[word]
  return {
    projectId,
    words,
    tags: difference(byRows.tags, drift.tags, byCounters.tags),
    quarters: difference(byRows.quarters, drift.quarters, byCounters.quarters),
  }
}

const read = async (tx: Tx, sources: Sources) => {
  const [words, tags, quarters] = await Promise.all([
    selectWordCounts(tx, sources),
    selectTagCounts(tx, sources, new Map(), everyTag),
    selectQuarterCounts(tx, sources, always),
  ])
  return { words, tags: new Map(tags.map(({ tag, count }) => [tag, count])), quarters }
}

const difference = <K>(
  whole: ReadonlyMap<K, number>,
  ...parts: ReadonlyMap<K, number>[]
): ReadonlyMap<K, number> => {
  const keys = new Set([whole, ...parts].flatMap((map) => [...map.keys()]))
  const differences = [...keys].map((key): [K, number] => [
    key,
    parts.reduce((rest, part) => rest - (part.get(key) ?? 0), whole.get(key) ?? 0),
  ])
  return new Map(differences.filter(([, count]) => count !== 0))
}

const isNothing = ({ words, tags, quarters }: CounterChanges): boolean =>
  tags.size === 0 && quarters.size === 0 && wordNames.every((word) => words[word] === 0)
