// `npm run up`: everything Tasktide needs on this machine, started in order, announced in one block, and stopped
// in reverse on Ctrl-C with the data kept. PostgreSQL and Redis are embedded unless DATABASE_URL and REDIS_URL
// name real ones.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { readConfig, secretSettings } from '../src/config.ts'
import { describeAllowedOrigins } from '../src/auth/origin.ts'
import { isFree } from '../src/app/free-port.ts'
import { mailFolderOf } from '../src/mail/open-mailer.ts'
import { readSecretFiles } from '../src/settings/secret-files.ts'
import { readSmtpUrl } from '../src/settings/smtp-url.ts'
import { withoutBrackets } from '../src/settings/table.ts'
import { ensureDatabase } from '../src/db/migrations/migrate.ts'
import { checkDatabase } from '../src/db/server-check.ts'
import { checkRedis } from '../src/redis/redis-check.ts'
import { fileFailure } from '../src/start/failure.ts'
import { startFailureOf } from '../src/start/report.ts'
import { claim, ClaimedError, note, release } from './claim.ts'
import { urlOf } from './databases.ts'
import { watchInterruption } from './interruption.ts'
import { startPostgres } from './postgres.ts'
import { startRedis } from './redis.ts'
import { keepAlive, runRole, startService, type Environment, type Service } from './roles.ts'

const root = resolve(import.meta.dir, '..')
const usualPort = 3000

const printLine = (line: string): void => void process.stderr.write(`${line}\n`)

/** A part that runs: where it is, and what rejects when it cannot be kept alive. */
interface Part {
  url: string
  failed?: Promise<never>
}

/** Made once per data folder, so that sign-ins survive a restart. */
const jwtSecrets = (dataDir: string): string => {
  const path = join(dataDir, 'secrets.json')
  if (existsSync(path)) return String(JSON.parse(readFileSync(path, 'utf8')).jwtSecrets)
  const secret = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('hex')
  const made = { jwtSecrets: `k1:${secret}` }
  writeFileSync(path, JSON.stringify(made), { mode: 0o600 })
  return made.jwtSecrets
}

const embedPostgres = async (stack: AsyncDisposableStack, dataDir: string): Promise<Part> => {
  const postgres = stack.use(
    await startPostgres({ dataDir: join(dataDir, 'postgres'), durable: true, log: printLine }),
  )
  const kept = keepAlive('PostgreSQL', postgres)
  stack.defer(kept.release)
  return { url: urlOf(postgres.url, 'tasktide'), failed: kept.failed }
}

const embedRedis = async (stack: AsyncDisposableStack, dataDir: string): Promise<Part> => {
  const redis = stack.use(
    await startRedis({ dataDir: join(dataDir, 'redis'), appendOnly: true, log: printLine }),
  )
  const kept = keepAlive('Redis', redis)
  stack.defer(kept.release)
  return { url: redis.url, failed: kept.failed }
}

interface Started {
  url: string
  block: string
  failed: Promise<never>
}

const startAll = async (
  stack: AsyncDisposableStack,
  dataDir: string,
  given: Environment,
): Promise<Started> => {
  const beganAt = performance.now()
  const { DATABASE_URL, REDIS_URL, PORT } = given
  await checkGiven(given, dataDir)
  const [postgres, redis] = await Promise.all([
    DATABASE_URL ? { url: DATABASE_URL } : embedPostgres(stack, dataDir),
    REDIS_URL ? { url: REDIS_URL } : embedRedis(stack, dataDir),
  ])
  const env: Environment = {
    JWT_SECRETS: jwtSecrets(dataDir),
    ...given,
    DATABASE_URL: postgres.url,
    REDIS_URL: redis.url,
    TIDE_DATA: dataDir,
  }
  const logsDir = join(dataDir, 'logs')
  mkdirSync(logsDir, { recursive: true })
  await runRole('migrate', { env, logsDir })
  const seeded = join(dataDir, 'seeded')
  if (env['TIDE_ENV'] !== 'production' && !existsSync(seeded)) {
    await runRole('seed', { env, logsDir })
    writeFileSync(seeded, '')
  }
  const startedServer = startService('server', { name: 'PORT', usual: usualPort }, { env, logsDir }).then(
    (service) => stack.use(service),
  )
  const startWorker = async (over: Environment): Promise<Service> =>
    stack.use(
      await startService(
        'worker',
        { name: 'WORKER_PORT', usual: usualPort + 1 },
        { env: { ...env, ...over }, logsDir },
      ),
    )
  // Links in mails lead to the server, so a worker has to know a port that is not the usual one.
  const isPortKnown = PORT ? PORT !== '0' : isFree(usualPort, given['HOST'] && withoutBrackets(given['HOST']))
  const startedWorker =
    given['PUBLIC_URL'] || isPortKnown
      ? startWorker({})
      : startedServer.then(({ url }) => startWorker({ PUBLIC_URL: url }))
  const [server, worker] = await Promise.all([startedServer, startedWorker])
  const parts: Part[] = [server, worker, postgres, redis]
  const seconds = ((performance.now() - beganAt) / 1000).toFixed(1)
  const portNote =
    !PORT && new URL(server.url).port !== String(usualPort) ? `  (port ${usualPort} is in use)` : ''
  const block = `
Tasktide is running, ready after ${seconds} s

  Board       ${server.url}/board${portNote}
  API         ${server.url}/api
  API page    ${server.url}/api/docs
  Job queues  ${server.url}/admin/queues
  Health      ${server.url}/health
  Metrics     ${server.url}/metrics, ${worker.url}/metrics
  Pages of    ${describeAllowedOrigins(readConfig(env, ['env', 'allowedOrigins', 'trustedProxies']))}
${env['TIDE_ENV'] === 'production' ? '' : demoSignIns}
  Worker      ${worker.url}/readyz
  PostgreSQL  ${describe(postgres.url)}
  Redis       ${describe(redis.url)}
  Mails       ${mailsOf(env, dataDir)}
  Logs        ${logsDir}

  Ctrl-C stops everything and keeps the data.
`
  return { url: server.url, block, failed: Promise.race(parts.flatMap(({ failed }) => failed ?? [])) }
}

const demoSignIns = `  Sign in     admin@example.com / admin123
              user@example.com  / user123
`

/**
 * What is wrong with the settings and the parts that are not embedded, before anything is started.
 * @throws ConfigError, StartFailure
 */
const checkGiven = async (given: Environment, dataDir: string): Promise<void> => {
  const embedded = {
    DATABASE_URL: 'postgres://localhost/tasktide',
    REDIS_URL: 'redis://localhost',
    JWT_SECRETS: jwtSecrets(dataDir),
  }
  const set = Object.entries(given).filter(([, value]) => value !== '')
  readConfig({ ...embedded, ...Object.fromEntries(set) })
  const { DATABASE_URL, REDIS_URL } = given
  const log = { warn: (_fields: object, message: string) => printLine(message) }
  if (DATABASE_URL) {
    await ensureDatabase(DATABASE_URL)
    await checkDatabase({ url: DATABASE_URL, log, migrations: 'any' })
  }
  if (REDIS_URL) await checkRedis(REDIS_URL, log)
}

/** Where mails go. */
const mailsOf = ({ SMTP_URL }: Environment, dataDir: string): string => {
  if (!SMTP_URL) return `${mailFolderOf({ dataDir })} (files, because SMTP_URL is not set)`
  const { host, port } = readSmtpUrl(SMTP_URL).address
  return `${host}:${port}`
}

/** An address without its password. */
const describe = (text: string): string => {
  const url = new URL(text)
  return `${url.host}${url.pathname}`
}

/** Deletes what `up` wrote, after asking. Secrets, fetched programs and test runs stay. */
const clear = async (dataDir: string, isSure: boolean): Promise<boolean> => {
  if (!isSure && !confirm(`Delete all data in ${dataDir}?`)) return false
  // A server that a crash left running must not go on in deleted files.
  for (const file of ['postgres/owner.json', 'redis/owner.json']) {
    if (existsSync(join(dataDir, file))) await claim(join(dataDir, file), `The data in ${dataDir}`, 'SIGINT')
  }
  for (const name of ['postgres', 'redis', 'files', 'mail', 'seeded']) {
    rmSync(join(dataDir, name), { recursive: true, force: true })
  }
  return true
}

/** @param args `--json`, `--fresh`, `--yes`. @returns the exit code. */
export const up = async (args: string[], env: Environment): Promise<number> => {
  const unknown = args.find((arg) => !['--json', '--fresh', '--yes'].includes(arg))
  if (unknown !== undefined) {
    printLine(`up takes --json, --fresh (start from empty data) and --yes (do not ask), not ${unknown}`)
    return 2
  }
  const files = readSecretFiles(env, secretSettings) // an address in a file replaces an embedded part too
  for (const [name, fault] of files.problems) printLine(`${files.source(name)} ${fault}`)
  if (files.problems.size > 0) return 78
  const dataDir = resolve(root, env['TIDE_DATA'] || '.data')
  try {
    return await run(args, files.environment, dataDir)
  } catch (error) {
    const failure = fileFailure(error, 'TIDE_DATA', dataDir) ?? startFailureOf(error)
    printLine(failure.message)
    return failure.exitCode
  }
}

const run = async (args: string[], env: Environment, dataDir: string): Promise<number> => {
  const owner = join(dataDir, 'up.json')
  const interruption = watchInterruption(env['TASKTIDE_LAUNCHER'])
  // The guards stop what is left when this process goes without waiting.
  void interruption.second.then(() => process.exit(130))
  try {
    mkdirSync(dataDir, { recursive: true })
    await claim(owner, `The data in ${dataDir}`)
  } catch (error) {
    if (!(error instanceof ClaimedError)) throw error
    const { owner: holder, url = 'still starting' } = error.holder
    printLine(`Tasktide is already running with this data: ${url} (process ${holder.pid})`)
    return 1
  }
  await using stack = new AsyncDisposableStack()
  stack.defer(() => release(owner))
  if (args.includes('--fresh') && !(await clear(dataDir, args.includes('--yes')))) {
    printLine('Nothing was changed.')
    return 1
  }
  const interrupted = interruption.first.then(() => undefined)
  const started = await Promise.race([startAll(stack, dataDir, env), interrupted])
  if (!started) return 130
  note(owner, { url: started.url })
  if (args.includes('--json')) {
    console.log(JSON.stringify({ ready: true, url: started.url, pid: process.pid }))
    printLine(started.block)
  } else console.log(started.block)
  await Promise.race([interrupted, started.failed])
  printLine('Stopping …')
  return 0
}
