// Loops of statistics: `stats.updated` for projects whose counters changed, and the nightly check of the counters. Under
// locks in PostgreSQL, so that any number of workers runs each once.
import type { Database } from '../../db/client.ts'
import { tryLockLoop } from '../../db/leases.ts'
import { claimCheck, finishCheck, sampleProjects } from '../../db/statistics/checks.ts'
import { announceCounts } from '../../domain/statistics/announce.ts'
import { checkCounters, repairCounters } from '../../domain/statistics/check.ts'
import { systemWrite, write, type WriteDeps } from '../../domain/write.ts'
import type { Log } from '../../log.ts'

/** Counted since the start of this worker. */
export interface StatisticsStats {
  /** Projects whose counters were compared with their rows. */
  checked: number
  /** Those that differed, and were repaired. Must be 0. */
  drifted: number
}

export const newStatisticsStats = (): StatisticsStats => ({ checked: 0, drifted: 0 })

/** Projects announced in one transaction. */
const batchProjects = 100

/** Announces every change that is due, or returns early: another worker has the lock, or `signal` aborts. */
export const announceStatistics = async (deps: WriteDeps & { signal: AbortSignal }): Promise<void> => {
  while (!deps.signal.aborted) {
    const { value: announced } = await write(deps, systemWrite, async (tx) =>
      (await tryLockLoop(tx, 'statistics')) ? announceCounts(tx, batchProjects) : { value: 0, entries: [] },
    )
    if (announced < batchProjects) return
  }
}

export interface CheckDeps {
  db: Database
  log: Log
  stats: StatisticsStats
  signal: AbortSignal
}

/** Few people work then in Europe, and the day's counters are settled. */
const checkFromHour = 3
const nightlyProjects = 500

/** The check of this night, unless a worker has done it. One that `signal` ends stays unfinished for another worker. */
export const checkStatisticsNightly = async (deps: CheckDeps, fromHour = checkFromHour): Promise<void> => {
  const { db, stats } = deps
  const night = await db.transact((tx) => claimCheck(tx, fromHour))
  if (night === null) return
  const before = { ...stats }
  if (!(await checkStatistics(deps, await db.read((sql) => sampleProjects(sql, nightlyProjects))))) return
  const done = { projects: stats.checked - before.checked, drifted: stats.drifted - before.drifted }
  await db.transact((tx) => finishCheck(tx, night, done))
  deps.log.info({ night, ...done }, 'statistics checked')
}

/**
 * Compares the counters of projects with their rows, one snapshot a project; logs and repairs what differs. Returns false
 * where `signal` ended it before the last project.
 */
export const checkStatistics = async (
  { db, log, stats, signal }: CheckDeps,
  projectIds: readonly string[],
): Promise<boolean> => {
  for (const projectId of projectIds) {
    if (signal.aborted) return false
    const outcome = await db.snapshot((tx) => checkCounters(tx, projectId))
    if (outcome === 'skipped') continue
    stats.checked += 1
    if (outcome === 'exact' || !(await db.transact((tx) => repairCounters(tx, projectId)))) continue
    stats.drifted += 1
    log.error({ projectId }, 'counters of a project differed from its rows and were repaired')
  }
  return true
}
