// The program: a role from the command line, opened (compose.ts says of what), announced, and closed on a signal.
//   bun src/main.ts server [--workers N] | worker | all [--json]
//   bun src/main.ts migrate [status | dump [--check] | epoch --new] | seed | user | tail
import { checkParts, openServer, openWorker, type Running } from './app/compose.ts'
import { ConfigError, readConfig, type Config } from './config.ts'
import { tailCommand } from './cli/tail-command.ts'
import { userCommand } from './cli/user.ts'
import { migrateCommand, seedCommand } from './cli/commands.ts'
import { describeAllowedOrigins } from './auth/origin.ts'
import { createLog, type Log } from './log.ts'
import { reportStartFailure, startFailureOf } from './start/report.ts'
import { openServers } from './app/supervisor.ts'

/** A stop that takes longer is cut off, so that a supervisor never has to kill. */
const stopDeadlineMs = 30_000
/** A parent waits for its children first. */
const parentDeadlineMs = 34_000

interface Service extends Running {
  /** Rejects when it can no longer do what it is for. */
  failed?: Promise<never>
}

const services: Record<string, (config: Config, log: Log, args: string[]) => Promise<Service>> = {
  server: async (config, log, args) => {
    const count = workersOf(args)
    const sharesPort = isShared(args)
    if (count === null || sharesPort) return openServer(config, log, {}, { sharesPort })
    await checkParts(config, log) // so that what all processes would meet is logged once
    const command = [...program, 'server', sharedFlag]
    return openServers({ config, count, command, environment: process.env, log })
  },
  worker: openWorker,
  all: async (config, log) => {
    await using stack = new AsyncDisposableStack()
    const server = stack.use(await openServer(config, log))
    stack.use(await openWorker(config, log.child({ name: 'worker' })))
    const owned = stack.move()
    return { url: server.url, port: server.port, [Symbol.asyncDispose]: () => owned.disposeAsync() }
  },
}

const commands: Record<string, (environment: NodeJS.ProcessEnv, args: string[]) => Promise<number>> = {
  migrate: migrateCommand,
  seed: seedCommand,
  tail: tailCommand,
  user: userCommand,
}

/** A server process among several on one port; it ends with its parent. Only the parent says this. */
const sharedFlag = '--shares-port'
const isShared = (args: string[]): boolean => args.includes(sharedFlag) && process.send !== undefined

/** This very program: one executable, or the runtime and this file. */
const program = Bun.main.includes('$bunfs') ? [process.execPath] : [process.execPath, Bun.main]

const maxWorkers = 64

/** The N of `--workers N`; null without it. */
const workersOf = (args: string[]): number | null => {
  const at = args.findIndex((arg) => arg === '--workers' || arg.startsWith('--workers='))
  if (at < 0) return null
  const text = args[at]!.split('=')[1] ?? args[at + 1] ?? ''
  const count = /^\d{1,3}$/.test(text) ? Number(text) : 0
  if (count < 1 || count > maxWorkers)
    throw new ConfigError([`--workers needs a whole number from 1 to ${maxWorkers}`])
  return count
}

const usage = `Usage: bun src/main.ts <role>
  server            answer REST and sockets
  server --workers N    the same in N processes on one port
  worker            consume the log: notifications, overdue tasks, streams
  all               both in one process
  migrate           bring the database up to date
  migrate status    what is applied and what is pending
  migrate dump      write sql/schema.sql; --check only compares
  migrate epoch --new   after a restore: make every client read its snapshot anew
  seed              demo users and a demo project (never in production)
  user disable <email>…   refuse sign-ins of an account and end its sessions
  tail              follow the log from a terminal; tail --help says how
Settings come from the environment: .env.example lists them.`

/** Bun's fetch sends requests for loopback addresses to HTTP_PROXY too, unless these are excepted. */
const exceptLoopbackFromProxies = (): void => {
  const { NO_PROXY, no_proxy: lowerCase } = process.env
  const list = [NO_PROXY || lowerCase, 'localhost,127.0.0.1,::1,[::1]'].filter(Boolean).join(',')
  Object.assign(process.env, { NO_PROXY: list, no_proxy: list })
}

const main = async (args: string[]): Promise<number> => {
  exceptLoopbackFromProxies()
  const [role = '', ...rest] = args
  const service = services[role]
  const command = commands[role]
  if (!service && !command) {
    console.error(usage)
    return role === '' || role === '--help' ? 0 : 2
  }
  if (command) return command(process.env, rest)
  const config = readConfig(process.env)
  const log = createLog(role, config.logLevel)
  const orphaned = Promise.withResolvers<'orphaned'>()
  if (isShared(rest)) process.on('disconnect', () => orphaned.resolve('orphaned'))
  const running = await service!(config, log, rest)
  return serve(role, running, log, {
    json: rest.includes('--json'),
    orphaned: orphaned.promise,
    origins: role === 'worker' ? null : describeAllowedOrigins(config),
  })
}

/** Announces the role and resolves when it was told to stop, or had to, and has stopped. */
const serve = async (
  role: string,
  running: Service,
  log: Log,
  { json, orphaned, origins }: { json: boolean; orphaned: Promise<'orphaned'>; origins: string | null },
): Promise<number> => {
  const told = Promise.withResolvers<NodeJS.Signals>()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => told.resolve(signal))
  process.on('unhandledRejection', (error) =>
    log.error({ err: error }, 'a promise nobody awaited was rejected'),
  )
  if (json) console.log(JSON.stringify({ ready: true, role, url: running.url, pid: process.pid }))
  process.send?.({ port: running.port })
  log.info({ url: running.url }, `${role} is ready`)
  if (origins !== null) log.info(`Cookies and sockets are allowed for pages of ${origins}`)
  const failed = running.failed?.catch((error: unknown) => {
    log.error({ err: error }, `${role} gives up`)
    return 'failed' as const
  })
  const reason = await Promise.race([told.promise, orphaned, ...(failed ? [failed] : [])])
  log.info({ reason }, `${role} is stopping`)
  const late = setTimeout(
    () => {
      log.error(`${role} did not stop in time`)
      process.exit(1)
    },
    running.failed ? parentDeadlineMs : stopDeadlineMs,
  )
  await running[Symbol.asyncDispose]()
  clearTimeout(late)
  return reason === 'failed' ? 1 : 0
}

const args = process.argv.slice(2)
try {
  process.exitCode = await main(args)
} catch (error) {
  const role = args[0] ?? ''
  if (isShared(args)) {
    // The parent reports it for all of its processes.
    const { message, exitCode } = startFailureOf(error)
    process.send?.({ failure: { message, exitCode } })
    process.exitCode = exitCode
  } else process.exitCode = reportStartFailure(error, { role, isJson: role in services })
}
// What a library left running must not keep a stopped process alive.
process.exit()
