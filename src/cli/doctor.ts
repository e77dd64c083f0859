// `doctor`: examines the settings and each part that a role needs, one line each: what there is, or what is wrong and the
// remedy. Invariants: every examination has a deadline, no line contains a secret, and no row or object is changed.
import packageJson from '../../package.json' with { type: 'json' }
import { createPasswords } from '../auth/passwords.ts'
import { ConfigError, readConfig } from '../config.ts'
import { addressOf } from '../db/address.ts'
import { openDatabase, type Database } from '../db/client.ts'
import { namesNoObject } from '../db/files/sweep.ts'
import { migrationStatus } from '../db/migrations/migrate.ts'
import { checkDatabase } from '../db/server-check.ts'
import { refuseDemoAccounts } from '../domain/users/demo-accounts.ts'
import { createLog, type Warnings } from '../log.ts'
import { openMailer } from '../mail/open-mailer.ts'
import { examineRedis } from '../redis/redis-check.ts'
import { readRedisUrl } from '../settings/redis-url.ts'
import { configurationFailure, exitCodes, unavailableFailure, type StartFailure } from '../start/failure.ts'
import { startFailureOf } from '../start/report.ts'
import type { Trouble } from '../start/trouble.ts'
import { attachStorage, folderOf, storageSettings } from '../storage/open.ts'

type Environment = Record<string, string | undefined>

const usage = `Usage: bun src/main.ts doctor [--json]
  Examines the settings, PostgreSQL, its migrations, Redis, the storage of files and the mail server as a start
  would, and prints a line for each, with the remedy for what is wrong. It changes nothing.
  --json    the same as one line of JSON
Exit codes: 0 nothing is wrong; 2 for a bad command line; 69 a part is away or full; 78 a setting or a part is wrong.`

export interface Finding {
  part: string
  /** `skipped`: it could not be examined because of another fault. */
  state: 'ok' | 'warning' | 'fault' | 'skipped'
  /** What there is, or what is wrong and the remedy. */
  text: string
  exitCode: 0 | 1 | 69 | 78
}

/** @returns the exit code, as the usage lists them; 1 for a failure of another kind. */
export const doctorCommand = async (environment: Environment, args: string[]): Promise<number> => {
  const unknown = args.find((arg) => arg !== '--json' && arg !== '--help')
  if (unknown !== undefined || args.includes('--help')) {
    console.error(unknown === undefined ? usage : `doctor has no option ${unknown}.\n\n${usage}`)
    return unknown === undefined ? 0 : exitCodes.usage
  }
  const findings = await examineAll(environment)
  const exitCode = worst(findings.map((finding) => finding.exitCode))
  if (args.includes('--json')) console.log(JSON.stringify({ exitCode, findings }))
  else
    for (const { part, state, text } of findings) console.log(`${state.padEnd(8)} ${part.padEnd(10)} ${text}`)
  return exitCode
}

/** A setting that is wrong comes before a part that may be back by itself. */
const worst = (found: Finding['exitCode'][]): Finding['exitCode'] =>
  ([78, 69, 1] as const).find((code) => found.includes(code)) ?? 0

const examineAll = async (environment: Environment): Promise<Finding[]> => {
  const program: Finding = {
    part: 'program',
    state: 'ok',
    text: `${packageJson.name} ${packageJson.version}, Bun ${Bun.version}`,
    exitCode: 0,
  }
  const [postgres, redis, mail] = await Promise.all([
    examine('PostgreSQL', (log) => examinePostgres(environment, log)),
    examine('Redis', async (log) => {
      const { redisUrl } = readConfig(environment, ['redisUrl'])
      const { host, port } = readRedisUrl(redisUrl).address
      return `${await examineRedis(redisUrl, log)} at ${host}:${port}`
    }),
    examine('mail', (log) => examineMail(environment, log)),
  ])
  const isReachable = postgres.exitCode === 0 && postgres.state !== 'skipped'
  const inDatabase = async (part: string, work: (log: Warnings) => Promise<string>): Promise<Finding> =>
    isReachable
      ? examine(part, work)
      : skipped(part, 'not examined, because PostgreSQL has to be there first')
  const migrations = await inDatabase('migrations', (log) => examineMigrations(environment, log))
  const isUsable = isReachable && migrations.exitCode === 0
  return [
    program,
    ...settingsOf(environment),
    postgres,
    migrations,
    redis,
    await examine('storage', () => examineStorage(environment, isUsable)),
    mail,
    ...(isUsable ? await accountsOf(environment) : []),
  ]
}

const skipped = (part: string, text: string): Finding => ({ part, state: 'skipped', text, exitCode: 0 })

/** @param work resolves with what there is. Its warnings make the line a warning. */
const examine = async (part: string, work: (log: Warnings) => Promise<string>): Promise<Finding> => {
  const warnings: string[] = []
  try {
    const text = await work({ warn: (_fields, message) => void warnings.push(message) })
    return warnings.length === 0
      ? { part, state: 'ok', text, exitCode: 0 }
      : { part, state: 'warning', text: `${text}; ${warnings.join('; ')}`, exitCode: 0 }
  } catch (error) {
    if (error instanceof ConfigError) return skipped(part, 'not examined, because its settings are wrong')
    return faultOf(part, error)
  }
}

const faultOf = (part: string, error: unknown): Finding => {
  const { message, exitCode } = startFailureOf(error)
  return { part, state: 'fault', text: message, exitCode }
}

const faultsOf = (part: string, { problems }: ConfigError): Finding[] =>
  problems.map((text) => ({ part, state: 'fault', text, exitCode: exitCodes.configuration }))

/** One line for all that is right, or one for each problem. */
const settingsOf = (environment: Environment): Finding[] => {
  const part = 'settings'
  try {
    const { env } = readConfig(environment)
    return [{ part, state: 'ok', text: `complete, for ${env}`, exitCode: 0 }]
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return faultsOf(part, error)
  }
}

const examinePostgres = async (environment: Environment, log: Warnings): Promise<string> => {
  const { databaseUrl: url } = readConfig(environment, ['databaseUrl'])
  const version = await checkDatabase({ url, log, migrations: 'any' })
  const { host, port, database } = addressOf(url)
  return `${version} at ${host}:${port}, database ${database}`
}

const examineMigrations = async (environment: Environment, log: Warnings): Promise<string> => {
  const { databaseUrl: url } = readConfig(environment, ['databaseUrl'])
  await checkDatabase({ url, log, migrations: 'current' })
  const rows = await migrationStatus({ url, log: createLog('doctor', 'silent') })
  return `${rows.filter(({ state }) => state === 'applied').length} applied, none pending`
}

/** @param isUsable whether the rows that name objects can be read; else a store without its mark counts as a new one. */
const examineStorage = async (environment: Environment, isUsable: boolean): Promise<string> => {
  const config = readConfig(environment, storageSettings)
  const { s3Bucket, s3Endpoint } = config
  const isUnused = (): Promise<boolean> =>
    isUsable ? withDatabase(environment, (db) => db.read(namesNoObject)) : Promise.resolve(true)
  await using storage = await attachStorage(config, createLog('doctor', 'silent'), isUnused)
  const { reason, isTemporary = false } = await storage.health()
  if (reason !== undefined) throw failureOf({ text: reason, isTemporary })
  return s3Bucket === null ? `folder ${folderOf(config)}` : `bucket ${s3Bucket} at ${s3Endpoint ?? 'AWS'}`
}

const failureOf = ({ text, isTemporary }: Trouble): StartFailure =>
  isTemporary ? unavailableFailure(text) : configurationFailure(text)

const examineMail = async (environment: Environment, log: Warnings): Promise<string> => {
  const config = readConfig(environment, ['smtpUrl', 'mailFrom', 'dataDir', 'env'])
  await using mailer = openMailer(config, createLog('doctor', 'silent'))
  const trouble = await mailer.health.check()
  if (trouble !== null) throw failureOf(trouble)
  if (config.smtpUrl !== null) return `SMTP server ${mailer.destination}`
  if (config.env === 'production') log.warn({}, 'no one receives them: set SMTP_URL')
  return `files in ${mailer.destination}, because SMTP_URL is not set`
}

/** Only where production refuses accounts whose passwords are public. */
const accountsOf = async (environment: Environment): Promise<Finding[]> => {
  const part = 'accounts'
  try {
    const { env } = readConfig(environment, ['env'])
    if (env !== 'production') return []
    await withDatabase(environment, (db) => refuseDemoAccounts({ db, passwords: createPasswords(1) }))
    return [{ part, state: 'ok', text: 'no demo account can sign in', exitCode: 0 }]
  } catch (error) {
    return error instanceof ConfigError ? faultsOf(part, error) : [faultOf(part, error)]
  }
}

const withDatabase = async <T>(environment: Environment, work: (db: Database) => Promise<T>): Promise<T> => {
  const { databaseUrl: url } = readConfig(environment, ['databaseUrl'])
  const log = createLog('doctor', 'silent')
  await using db = openDatabase({ url, max: 1, applicationName: 'tasktide doctor', log })
  return await work(db)
}
