// `files sweep`: compares the storage with the rows from the operator's shell. It counts unless it is asked to delete, and
// then a worker deletes what it lists.
import { readConfig } from '../config.ts'
import { openDatabase } from '../db/client.ts'
import { insertSweepReport, namesNoObject } from '../db/files/sweep.ts'
import { checkDatabase } from '../db/server-check.ts'
import { sweepFiles } from '../domain/files/sweep.ts'
import { isUnavailable } from '../errors.ts'
import { createLog } from '../log.ts'
import type { SweepReport } from '../model/sweep.ts'
import { unavailableFailure } from '../start/failure.ts'
import { openStorage, storageSettings } from '../storage/open.ts'
import type { Storage } from '../storage/storage.ts'

const usage = `Usage: bun src/main.ts files sweep [--delete [--force]] [--json]
  sweep       compare the storage with the database and print what was found; nothing is changed
  --delete    list objects without a row for deletion, which a worker deletes within seconds, and flag
              attachments whose objects are missing; nothing younger than a day is touched. Workers do
              the same every night
  --force     delete although more than half of the objects have no row: first make sure that the storage
              and the database belong together
  --dry-run   change nothing, as without --delete
  --json      print the report as one line of JSON
DATABASE_URL says where the rows are, S3_BUCKET and the settings beside it or TIDE_DATA where the objects are.
Exit codes: 0 compared, whatever was found; 1 the deletion was refused; 2 for a bad command line; 69 the storage
or PostgreSQL is away; 78 a setting is wrong.`

const flags = ['--delete', '--force', '--dry-run', '--json'] as const

/** @returns the exit code, as the usage lists them. @throws StartFailure */
export const filesCommand = async (
  environment: Record<string, string | undefined>,
  args: string[],
): Promise<number> => {
  if (args.includes('--help')) {
    console.error(usage)
    return 0
  }
  const fault = faultOf(args)
  if (fault !== null) {
    console.error(`${fault}\n\n${usage}`)
    return 2
  }
  const isDryRun = !args.includes('--delete')
  const isForced = args.includes('--force')
  const config = readConfig(environment, ['databaseUrl', 'logLevel', ...storageSettings])
  const log = createLog('files', config.logLevel)
  await checkDatabase({ url: config.databaseUrl, log, migrations: 'current' })
  await using db = openDatabase({ url: config.databaseUrl, max: 2, applicationName: 'tasktide files', log })
  await using storage = await openStorage(config, log, () => db.read(namesNoObject))
  const { signal } = new AbortController() // an interrupted command ends its process
  const options = { isDryRun, isForced, signal }
  const report = await namingStorage(storage, sweepFiles({ db, storage, log }, options))
  await db.transact((tx) => insertSweepReport(tx, report))
  console.log(args.includes('--json') ? JSON.stringify(report) : describe(report))
  return report.isRefused && !isDryRun ? 1 : 0
}

/** What is wrong with the command line; null for nothing. */
const faultOf = ([verb, ...args]: string[]): string | null => {
  if (verb === undefined) return 'Say what to do with the files.'
  if (verb !== 'sweep') return `There is no command files ${verb}.`
  const unknown = args.find((arg) => !flags.some((flag) => flag === arg))
  if (unknown !== undefined)
    return unknown.startsWith('-')
      ? `files sweep has no option ${unknown}.`
      : `files sweep takes no argument, and was given ${unknown}.`
  const isDeleting = args.includes('--delete')
  if (isDeleting && args.includes('--dry-run')) return 'Give --delete or --dry-run, not both.'
  return args.includes('--force') && !isDeleting ? '--force does nothing without --delete.' : null
}

/** The work, whose failure says so where it is that of the storage. @throws StartFailure */
const namingStorage = async <T>(storage: Storage, work: Promise<T>): Promise<T> => {
  try {
    return await work
  } catch (error) {
    const { status, reason } = isUnavailable(error) ? await storage.health() : { status: 'up' }
    if (status === 'up') throw error
    throw unavailableFailure(`The storage of the files cannot be read: ${reason}`)
  }
}

const describe = (report: SweepReport): string =>
  [
    `${report.objects} objects with ${report.bytes} bytes, ${report.rows} attachments older than a day.`,
    `Without a row: ${report.orphans}; younger than a day and left alone: ${report.youngOrphans}.`,
    `Without their object: ${report.missing}.`,
    outcomeOf(report),
  ].join('\n')

const outcomeOf = ({ isRefused, isDryRun, orphans, listed, interrupted }: SweepReport): string => {
  if (isRefused && !isDryRun)
    return 'Nothing is deleted, because most objects have no row: see files sweep --help.'
  if (isRefused) return 'Nothing is changed. Most objects have no row: --delete is refused without --force.'
  if (isDryRun) return `Nothing is changed.${orphans > 0 ? ' With --delete objects without a row go.' : ''}`
  return `Listed for deletion by a worker: ${listed}. Left by interrupted uploads and removed: ${interrupted}.`
}
