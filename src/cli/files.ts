// `files sweep`: compares the storage with the rows from the operator's shell. A worker deletes what it lists.
import { openDatabase } from '../db/client.ts'
import { insertSweepReport, namesNoObject } from '../db/files/sweep.ts'
import { checkDatabase } from '../db/server-check.ts'
import { readConfig } from '../config.ts'
import { sweepFiles } from '../domain/files/sweep.ts'
import { createLog } from '../log.ts'
import type { SweepReport } from '../model/sweep.ts'
import { openStorage } from '../storage/open.ts'

const usage = `Usage: bun src/main.ts files sweep [--dry-run] [--force]
  sweep       list objects for deletion that no row owns, and flag rows whose objects are missing; nothing younger
              than a day is touched. Workers do the same every night
  --dry-run   only count
  --force     delete although more than half of the objects have no row: first make sure that the storage and the
              database belong together`

const options = new Set(['--dry-run', '--force'])

/** @returns 0, 1 where it refused to delete, 2 for what it cannot read. */
export const filesCommand = async (
  environment: Record<string, string | undefined>,
  [verb, ...args]: string[],
): Promise<number> => {
  const unknown = args.find((arg) => !options.has(arg))
  if (verb !== 'sweep' || unknown !== undefined) {
    console.error(usage)
    return verb === '--help' || unknown === '--help' ? 0 : 2
  }
  const config = readConfig(environment)
  const log = createLog('files', config.logLevel)
  await checkDatabase({ url: config.databaseUrl, log, migrations: 'current' })
  await using db = openDatabase({ url: config.databaseUrl, max: 2, applicationName: 'tasktide files', log })
  await using storage = await openStorage(config, log, () => db.read(namesNoObject))
  const isDryRun = args.includes('--dry-run')
  const isForced = args.includes('--force')
  const { signal } = new AbortController() // an interrupted command ends its process
  const report = await sweepFiles({ db, storage, log }, { isDryRun, isForced, signal })
  await db.transact((tx) => insertSweepReport(tx, report))
  console.log(describe(report))
  return report.isRefused ? 1 : 0
}

const describe = (report: SweepReport): string =>
  [
    `${report.objects} objects with ${report.bytes} bytes, ${report.rows} attachments older than a day.`,
    `Without a row: ${report.orphans}; younger than a day and left alone: ${report.youngOrphans}.`,
    `Without their object: ${report.missing}.`,
    report.isRefused
      ? 'Nothing is deleted, because most objects have no row: see files sweep --help.'
      : report.isDryRun
        ? 'Nothing is changed by a dry run.'
        : `Listed for deletion by a worker: ${report.listed}. Left by interrupted uploads and removed: ${report.interrupted}.`,
  ].join('\n')
