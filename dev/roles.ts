// A role of the program (`bun src/main.ts <role>`) as a guarded child: a command that is run to its end, or a
// service that is ready once its log has the ready line and that is started again when it ends by itself.
import { join, resolve } from 'node:path'
import { readFileSync } from 'node:fs'
import { claim, note, release } from './claim.ts'
import { isFree } from '../src/app/free-port.ts'
import { supervisorDeadlineMs } from '../src/app/shutdown.ts'
import { withoutBrackets } from '../src/settings/table.ts'
import { startGuarded, type Guarded } from './guarded.ts'
import { freshLog, tailOf } from './log-tail.ts'
import { roleFailure } from './part-failure.ts'

export type Environment = Record<string, string | undefined>

export interface RoleOptions {
  env: Environment
  logsDir: string
}

export interface Service extends AsyncDisposable {
  readonly url: string
  /** Never resolves while the service can be kept alive; rejects when it cannot. */
  readonly failed: Promise<never>
}

const root = resolve(import.meta.dir, '..')
const commandTimeoutMs = 120_000
const readyTimeoutMs = 30_000

const startRole = (args: string[], { env }: RoleOptions, logFile: string): Promise<Guarded> => {
  freshLog(logFile)
  const command = [process.execPath, join(root, 'src', 'main.ts'), ...args]
  return startGuarded({ command, logFile, stopSignal: 'SIGTERM', cwd: root, env })
}

/** Runs a command such as `migrate`; throws with the end of its output when it fails. */
export const runRole = async (role: string, options: RoleOptions): Promise<void> => {
  const logFile = join(options.logsDir, `${role}.log`)
  const child = await startRole([role], options, logFile)
  const timer = setTimeout(() => void child.stop(0), commandTimeoutMs)
  const code = await child.exited
  clearTimeout(timer)
  if (code !== 0) throw roleFailure(role, tailOf(logFile), code)
}

/** What `--json` prints when the role answers. */
const readyLine = (logFile: string): string | undefined =>
  readFileSync(logFile, 'utf8')
    .split('\n')
    .slice(0, -1)
    .find((line) => line.startsWith('{"ready":true'))

/** Resolves with the role's address when it answers. */
export const untilReady = async (role: string, child: Guarded, logFile: string): Promise<string> => {
  const failure = await child.failure(readyTimeoutMs, () => readyLine(logFile) !== undefined)
  if (failure !== undefined) throw roleFailure(role, failure, child.isRunning() ? null : await child.exited)
  return String(JSON.parse(readyLine(logFile)!).url)
}

export interface OpenedRole {
  child: Guarded
  url: string
}

/** Starts a service and resolves when it answers. */
export const openRole = async (role: string, options: RoleOptions, logFile: string): Promise<OpenedRole> => {
  const child = await startRole([role, '--json'], options, logFile)
  return { child, url: await untilReady(role, child, logFile) }
}

export interface ServicePort {
  /** The variable it is read from. */
  name: string
  /** Used when the variable is unset and the port is free; otherwise another free port is. */
  usual: number
}

export const startService = async (
  role: string,
  port: ServicePort,
  options: RoleOptions,
): Promise<Service> => {
  const logFile = join(options.logsDir, `${role}.log`)
  const owner = join(options.logsDir, `${role}.owner.json`)
  await claim(owner, `The role ${role}`) // ends one that a crash left on the port
  const { HOST } = options.env
  const usual = isFree(port.usual, HOST ? withoutBrackets(HOST) : undefined) ? String(port.usual) : '0'
  let env = { ...options.env, [port.name]: options.env[port.name] || usual }
  const start = async (): Promise<{ child: Guarded; url: string }> => {
    const child = await startRole([role, '--json'], { ...options, env }, logFile)
    note(owner, { child: child.process })
    return { child, url: await untilReady(role, child, logFile) }
  }
  const { child, url } = await start()
  env = { ...env, [port.name]: new URL(url).port } // kept when it is started again
  let current = child
  const kept = keepAlive(role, {
    get exited() {
      return current.exited
    },
    async start() {
      current = (await start()).child
    },
  })
  return {
    url,
    failed: kept.failed,
    [Symbol.asyncDispose]: async () => {
      kept.release()
      await current.stop(supervisorDeadlineMs)
      release(owner)
    },
  }
}

export interface KeptAlive {
  failed: Promise<never>
  /** From now on the end of the part is wanted. */
  release: () => void
}

const maxEnds = 5
const perMs = 60_000

export interface Restartable {
  /** The end of what runs now. */
  readonly exited: Promise<number>
  start(): Promise<void>
}

/** Starts a part again when it ends by itself, unless that happens too often. */
export const keepAlive = (name: string, part: Restartable): KeptAlive => {
  const failed = Promise.withResolvers<never>()
  failed.promise.catch(() => {}) // callers that await it receive the rejection
  let isWanted = true
  let ends: number[] = []
  const watch = async (): Promise<void> => {
    for (;;) {
      const code = await part.exited
      if (!isWanted) return
      const now = performance.now()
      ends = [...ends.filter((at) => now - at < perMs), now]
      if (ends.length === maxEnds) throw new Error(`${name} ended ${maxEnds} times within a minute (${code})`)
      process.stderr.write(`${name} ended by itself (${code}); starting it again …\n`)
      await part.start()
    }
  }
  watch().catch((error: unknown) => failed.reject(error))
  return { failed: failed.promise, release: () => (isWanted = false) }
}
