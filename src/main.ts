// The composition root: a role from the command line, opened, announced, and closed on a signal.
//   bun src/main.ts server | worker | all | migrate [status|dump [--check]|epoch --new] | seed | tail     [--json]
import { openServer, openWorker, type Running } from './compose.ts'
import { ConfigError, readConfig, type Config } from './config.ts'
import { migrateCommand, seedCommand, tailCommand } from './commands.ts'
import { AppError, messageOf } from './errors.ts'
import { createLog, type Log } from './log.ts'

/** A stop that takes longer is cut off, so that a supervisor never has to kill. */
const stopDeadlineMs = 30_000

const services: Record<string, (config: Config, log: Log) => Promise<Running>> = {
  server: openServer,
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
}

const usage = `Usage: bun src/main.ts <role>
  server            answer REST and sockets
  worker            consume the log: notifications, overdue tasks, streams
  all               both in one process
  migrate           bring the database up to date
  migrate status    what is applied and what is pending
  migrate dump      write sql/schema.sql; --check only compares
  migrate epoch --new   after a restore: make every client read its snapshot anew
  seed              demo users and a demo project (never in production)
  tail              follow a scope of the log from a terminal; tail --help says how
Settings come from the environment: .env.example lists them.`

const main = async (args: string[]): Promise<number> => {
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
  return serve(role, await service!(config, log), log, rest.includes('--json'))
}

/** Announces the role and resolves when it was told to stop and has stopped. */
const serve = async (role: string, running: Running, log: Log, json: boolean): Promise<number> => {
  const stop = Promise.withResolvers<NodeJS.Signals>()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stop.resolve(signal))
  process.on('unhandledRejection', (error) =>
    log.error({ err: error }, 'a promise nobody awaited was rejected'),
  )
  if (json) console.log(JSON.stringify({ ready: true, role, url: running.url, pid: process.pid }))
  log.info({ url: running.url }, `${role} is ready`)
  const signal = await stop.promise
  log.info({ signal }, `${role} is stopping`)
  const late = setTimeout(() => {
    log.error(`${role} did not stop in time`)
    process.exit(1)
  }, stopDeadlineMs)
  await running[Symbol.asyncDispose]()
  clearTimeout(late)
  return 0
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  console.error(error instanceof ConfigError || error instanceof AppError ? error.message : error)
  process.exitCode = error instanceof ConfigError ? 78 : 1
  if (!(error instanceof Error)) console.error(messageOf(error))
}
// What a library left running must not keep a stopped process alive.
process.exit()
