// The program: a role or a command by its name on the command line.
//   bun src/main.ts server [--workers N] | worker | all [--json]
//   bun src/main.ts migrate [status | dump [--check] | epoch --new] | seed | user | files | tail | doctor | bench
import { isChild, roles, runRole } from './app/roles.ts'
import { reportStartFailure, startFailureOf } from './start/report.ts'

type Command = (environment: NodeJS.ProcessEnv, args: string[]) => Promise<number>

/** Each loads its own code only, as roles do. */
const commands: Record<string, () => Promise<Command>> = {
  bench: async () => (await import('./cli/bench.ts')).benchCommand,
  doctor: async () => (await import('./cli/doctor.ts')).doctorCommand,
  files: async () => (await import('./cli/files.ts')).filesCommand,
  migrate: async () => (await import('./cli/migrate.ts')).migrateCommand,
  seed: async () => (await import('./cli/seed.ts')).seedCommand,
  tail: async () => (await import('./cli/tail-command.ts')).tailCommand,
  user: async () => (await import('./cli/user.ts')).userCommand,
}

const usage = `Usage: bun src/main.ts <role>
  server            answer REST and sockets
  server --workers N    the same in N processes on one port
  worker            consume the log: notifications, overdue tasks, streams
  all               both in one process
  migrate           bring the database up to date
  migrate status    what is applied and what is pending
  migrate dump      write sql/schema.sql; --check only compares
  migrate epoch --new   after a restore: make every client read its snapshot again
  seed              demo users and a demo project (never in production)
  files sweep       compare the storage with the rows; deletes only with --delete
  user <command> <email>…   create, promote, disable, enable or reset accounts, list their sessions; see user --help
  tail              follow the log from a terminal; see tail --help
  doctor            examine the settings and every part, with the remedy for what is wrong; --json
  bench             measure this machine; needs the source, see bench --help
Settings come from the environment: .env.example lists them.`

/** Commands that end in order by themselves. */
const ownSignals = new Set(['bench', 'tail'])

/**
 * As process 1 of a container a program ignores the signals it has no handler for. What a command has not committed rolls
 * back with its connection.
 */
const endOnSignals = (): void => {
  process.once('SIGINT', () => process.exit(130))
  process.once('SIGTERM', () => process.exit(143))
}

/** Bun's fetch sends requests for loopback addresses to HTTP_PROXY too, unless these are excepted. */
const exceptLoopbackFromProxies = (): void => {
  const { NO_PROXY, no_proxy: lowerCase } = process.env
  const list = [NO_PROXY || lowerCase, 'localhost,127.0.0.1,::1,[::1]'].filter(Boolean).join(',')
  Object.assign(process.env, { NO_PROXY: list, no_proxy: list })
}

const main = async (args: string[]): Promise<number> => {
  exceptLoopbackFromProxies()
  const [name = '', ...rest] = args
  if (Object.hasOwn(roles, name)) return runRole(name, rest, process.env)
  if (Object.hasOwn(commands, name)) {
    if (!ownSignals.has(name)) endOnSignals()
    const command = await commands[name]!()
    return command(process.env, rest)
  }
  console.error(usage)
  return name === '' || name === '--help' ? 0 : 2
}

const args = process.argv.slice(2)
try {
  process.exitCode = await main(args)
} catch (error) {
  const role = args[0] ?? ''
  if (isChild(args)) {
    // The parent reports it for all of its processes.
    const { message, exitCode } = startFailureOf(error)
    process.send?.({ failure: { message, exitCode } })
    process.exitCode = exitCode
  } else process.exitCode = reportStartFailure(error, { role, isJson: Object.hasOwn(roles, role) })
}
// A handle that a library left open must not keep a stopped process alive.
process.exit()
