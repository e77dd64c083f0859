// The roles that run until they are stopped: opened (the files `compose…` join their parts), announced, and stopped.
// Invariant: a role loads no code of another one, which would cost a worker a third of its memory.
import { describeAllowedOrigins } from '../auth/origin.ts'
import { ConfigError, readConfig, type Config } from '../config.ts'
import { createLog, holdLogs, releaseLogs, type Log } from '../log.ts'
import { program } from '../start/executable.ts'
import type { Running } from './base.ts'
import type { ToProcess } from './metrics-exchange.ts'
import { openUnlessAsked, stopAsked, stopWhenAsked, type Stoppable } from './shutdown.ts'

type Environment = Record<string, string | undefined>
type OpenRole = (
  config: Config,
  log: Log,
  args: string[],
  environment: Environment,
) => Promise<Running & Stoppable>

export const roles: Record<string, OpenRole> = {
  server: async (config, log, args, environment) => {
    const count = workersOf(args)
    const sharesPort = isChild(args)
    if (count === null || sharesPort) {
      const { openServer } = await import('./compose.ts')
      return openServer(config, log, {}, { sharesPort })
    }
    const [{ checkParts }, { openServers }] = await Promise.all([
      import('./base.ts'),
      import('./supervisor.ts'),
    ])
    await checkParts(config, log) // so that what all processes would meet is logged once
    const command = [...program, 'server', childFlag]
    const firstArgs = args.filter((arg) => arg === jsonFlag)
    return openServers({ config, count, command, firstArgs, environment, log })
  },
  worker: async (config, log) => {
    const { openWorker } = await import('./compose-worker.ts')
    return openWorker(config, log)
  },
  all: async (config, log) => {
    const [{ openServer }, { openWorker }] = await Promise.all([
      import('./compose.ts'),
      import('./compose-worker.ts'),
    ])
    await using stack = new AsyncDisposableStack()
    const server = stack.use(await openServer(config, log))
    stack.use(await openWorker(config, log.child({ name: 'worker' })))
    const owned = stack.move()
    return { url: server.url, port: server.port, [Symbol.asyncDispose]: () => owned.disposeAsync() }
  },
}

/** Only a parent passes this: its child shares a port with other processes and ends with its parent. */
const childFlag = '--shares-port'

/** Whether this process is one server among several, started by a parent. */
export const isChild = (args: string[]): boolean => args.includes(childFlag) && process.send !== undefined

/** Makes the ready line the first one of standard output, before those of the log. */
const jsonFlag = '--json'

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

/**
 * Writes the ready line, where one is wanted, and what the log has held back for it. Processes that share a port write theirs
 * after the line of their parent.
 */
const announce = (role: string, args: string[], { url, port, announced }: Running): void => {
  if (args.includes(jsonFlag) && !isChild(args))
    releaseLogs(JSON.stringify({ ready: true, role, url, pid: process.pid }))
  announced?.()
  process.send?.({ port })
}

/** Runs a role until it is stopped; resolves with the exit code. Rejects when it does not start. */
export const runRole = async (role: string, args: string[], environment: Environment): Promise<number> => {
  const config = readConfig(environment)
  if (args.includes(jsonFlag)) holdLogs()
  const log = createLog(role, config.logLevel)
  const orphaned = Promise.withResolvers<'orphaned'>()
  const asked = stopAsked(orphaned.promise)
  if (isChild(args)) {
    process.on('disconnect', () => orphaned.resolve('orphaned'))
    process.on('message', (message: ToProcess) => 'announced' in message && releaseLogs())
  }
  await using _tracing = await tracingOf(config, role, args, log)
  const running = await openUnlessAsked(role, roles[role]!(config, log, args, environment), asked, log)
  if (running === null) return 0
  process.on('unhandledRejection', (error) => log.error({ err: error }, 'unhandled promise rejection'))
  announce(role, args, running)
  log.info({ url: running.url }, `${role} is ready`)
  if (role !== 'worker')
    log.info(`Cookies and sockets are allowed for pages of ${describeAllowedOrigins(config)}`)
  return await stopWhenAsked(role, running, asked, log)
}

/** Null without a collector, and in the parent of server processes, which answers no request. */
const tracingOf = async (
  { otlpEndpoint, ...config }: Config,
  role: string,
  args: string[],
  log: Log,
): Promise<AsyncDisposable | null> => {
  if (otlpEndpoint === null || (role === 'server' && workersOf(args) !== null && !isChild(args))) return null
  const { openTracing } = await import('../tracing/otlp.ts')
  return openTracing({ ...config, otlpEndpoint }, role, log)
}
