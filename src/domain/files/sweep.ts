// Compares the storage with the rows, both ways. Invariants: nothing younger than a day is touched; objects are only
// listed for deletion, in a transaction that looks for their owner once more; rows are only flagged.
import type { DatabaseCalls } from '../../db/client.ts'
import { requeueFileDeletions } from '../../db/files/deletion-queue.ts'
import { flagMissing, listOrphans, selectOrphans, selectOwned, sweptPrefixes } from '../../db/files/sweep.ts'
import type { Log } from '../../log.ts'
import { nilId } from '../../model/scalar.ts'
import type { SweepReport } from '../../model/sweep.ts'
import type { Storage } from '../../storage/storage.ts'

export interface SweepDeps {
  db: DatabaseCalls
  storage: Storage
  log: Log
}

export interface SweepOptions {
  /** Counts and changes nothing. */
  isDryRun: boolean
  /** Deletes also where most objects have no row. */
  isForced?: boolean
  signal: AbortSignal
}

const dayMs = 24 * 60 * 60 * 1000
const batchSize = 500
/** Keys kept between counting and deleting: the next sweep continues. */
const maxListed = 50_000
const headsAtOnce = 8
/** A delivery that has not deleted its objects after this time has failed. */
const requeueAfterDays = 2

/*
 * The problem: a sweep deletes what no row owns, so a storage that belongs to another database, or a database restored
 * from an old backup, would lose everything. The way chosen: the first pass counts, and where more than `maxOrphans` and
 * more than half of the objects have no row, the second one does not begin unless an operator forces it.
 */
const maxOrphans = 100
const isSuspicious = ({ orphans, objects }: SweepReport): boolean =>
  orphans > maxOrphans && orphans > objects / 2

/** @throws AppError 503 where the storage or PostgreSQL is away. Repeating it is harmless. */
export const sweepFiles = async (deps: SweepDeps, options: SweepOptions): Promise<SweepReport> => {
  const { db, storage, log } = deps
  const { isDryRun, isForced = false, signal } = options
  const before = new Date(Date.now() - dayMs)
  const report: SweepReport = {
    isDryRun,
    objects: 0,
    bytes: 0,
    orphans: 0,
    youngOrphans: 0,
    listed: 0,
    rows: 0,
    missing: 0,
    interrupted: 0,
    isRefused: false,
  }
  const orphans = await countObjects(deps, report, before, signal)
  report.isRefused = !isForced && isSuspicious(report)
  if (report.isRefused)
    log.error(
      { ...report },
      'most objects of the storage have no row: nothing is deleted; see files sweep --help',
    )
  else if (!isDryRun) {
    for (let at = 0; at < orphans.length && !signal.aborted; at += batchSize) {
      const keys = orphans.slice(at, at + batchSize)
      report.listed += await db.transact((tx) => listOrphans(tx, keys))
    }
    report.interrupted = await storage.removeInterrupted(before)
    while ((await db.transact((tx) => requeueFileDeletions(tx, requeueAfterDays))) > 0);
  }
  await compareRows(deps, report, isDryRun, signal)
  signal.throwIfAborted()
  if (report.missing > 0) log.error({ missing: report.missing }, 'attachments without their objects')
  return report
}

/** Counts objects. @returns orphans older than `before`, at most `maxListed`. */
const countObjects = async (
  { db, storage }: SweepDeps,
  report: SweepReport,
  before: Date,
  signal: AbortSignal,
): Promise<string[]> => {
  const kept: string[] = []
  const examine = async (batch: Map<string, Date>): Promise<void> => {
    signal.throwIfAborted()
    const orphans = await db.read((sql) => selectOrphans(sql, [...batch.keys()]))
    const old = orphans.filter((key) => batch.get(key)! < before)
    report.orphans += old.length
    report.youngOrphans += orphans.length - old.length
    kept.push(...old.slice(0, maxListed - kept.length))
  }
  for (const prefix of sweptPrefixes) {
    let batch = new Map<string, Date>()
    for await (const { key, size, modifiedAt } of storage.list(prefix)) {
      report.objects += 1
      report.bytes += size
      batch.set(key, modifiedAt)
      if (batch.size < batchSize) continue
      await examine(batch)
      batch = new Map()
    }
    await examine(batch)
  }
  return kept
}

/** Looks for the object of each row, and flags rows without one. */
const compareRows = async (
  { db, storage }: SweepDeps,
  report: SweepReport,
  isDryRun: boolean,
  signal: AbortSignal,
): Promise<void> => {
  for (let after: string | undefined = nilId; after !== undefined && !signal.aborted;) {
    const from: string = after
    const rows = await db.read((sql) => selectOwned(sql, from, batchSize))
    const missing: string[] = []
    const left = [...rows]
    const work = async (): Promise<void> => {
      for (let row = left.pop(); row !== undefined && !signal.aborted; row = left.pop())
        if ((await storage.head(row.key)) === null) missing.push(row.id)
    }
    await Promise.all(Array.from({ length: headsAtOnce }, work))
    if (signal.aborted) return
    report.rows += rows.length
    report.missing += missing.length
    const found = rows.filter(({ id, isMissing }) => isMissing && !missing.includes(id)).map(({ id }) => id)
    if (!isDryRun && missing.length + found.length > 0)
      await db.transact(async (tx) => {
        await flagMissing(tx, missing.toSorted(), true)
        await flagMissing(tx, found, false)
      })
    after = rows.length === batchSize ? rows.at(-1)!.id : undefined
  }
}
