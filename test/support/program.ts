// The program as a process of its own, `bun src/main.ts <args>`, on a world's database and Redis. It does not outlive
// the test.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { startGuarded } from '../../dev/guarded.ts'
import { untilReady } from '../../dev/roles.ts'
import type { World } from './world.ts'

const root = resolve(import.meta.dir, '..', '..')
const stopTimeoutMs = 35_000

export interface Program extends AsyncDisposable {
  readonly url: string
  readonly pid: number
  readonly exited: Promise<number>
  /** Its output so far. */
  output(): Promise<string>
  /** Its running child processes. */
  children(): Promise<number[]>
  /** Sends the stop signal; resolves with the exit code. */
  stop(signal?: NodeJS.Signals): Promise<number>
}

interface ProgramOptions {
  args: string[]
  environment?: Record<string, string>
  /** Whether to wait for the ready line. */
  isReady?: boolean
  /** Default: the source, run by Bun in the folder of the project. */
  executable?: Executable
}

/** The program in another form than the source. */
export interface Executable {
  path: string
  cwd: string
}

const source = [process.execPath, join(root, 'src', 'main.ts')]

export const startProgram = async (
  { config }: Pick<World, 'config'>,
  { args, environment = {}, isReady = true, executable }: ProgramOptions,
): Promise<Program> => {
  const dir = await mkdtemp(join(tmpdir(), 'tide-program-'))
  const logFile = join(dir, 'output.log')
  const child = await startGuarded({
    command: [...(executable ? [executable.path] : source), ...args, '--json'],
    logFile,
    stopSignal: 'SIGTERM',
    cwd: executable?.cwd ?? root,
    env: {
      PATH: process.env['PATH'],
      HOME: process.env['HOME'],
      DATABASE_URL: config.databaseUrl,
      REDIS_URL: config.redisUrl,
      JWT_SECRETS: config.jwtKeys.map(({ kid, secret }) => `${kid}:${secret}`).join(','),
      RATE_LIMIT: 'off',
      PORT: '0',
      LOG_LEVEL: 'warn',
      DATABASE_POOL: '4',
      SOCKETS_PER_USER: '1000',
      ...environment,
    },
  })
  const end = async (): Promise<void> => {
    await child.stop(stopTimeoutMs)
    await rm(dir, { recursive: true, force: true })
  }
  try {
    const url = isReady ? await untilReady(args[0]!, child, logFile) : ''
    const { pid } = child.process
    return {
      url,
      pid,
      exited: child.exited,
      output: () => Bun.file(logFile).text(),
      async children() {
        const found = Bun.spawn(['pgrep', '-P', String(pid)], { stdout: 'pipe' })
        return (await new Response(found.stdout).text()).split('\n').filter(Boolean).map(Number)
      },
      stop: (signal) => child.stop(stopTimeoutMs, signal),
      [Symbol.asyncDispose]: end,
    }
  } catch (error) {
    await end()
    throw error
  }
}

export interface Ended {
  code: number
  stdout: string
  stderr: string
}

/** Runs the program to its end; kills it after `timeoutMs`. Its environment is `environment` alone. */
export const runProgram = async (
  args: string[],
  environment: Record<string, string>,
  timeoutMs = 25_000,
  command = source,
): Promise<Ended> => {
  const child = Bun.spawn([...command, ...args], {
    cwd: tmpdir(), // without the .env of the checkout
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
  })
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  return { code, stdout, stderr }
}
