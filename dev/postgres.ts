// A real PostgreSQL 18 in a folder of its own, on a port of 127.0.0.1. `dataDir` holds the cluster, its
// password and its log; one live process at a time owns it, and whatever crashed before, `startPostgres` ends
// with a server that accepts connections or an error with the reason.
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { claim, note, release } from './claim.ts'
import { freePort } from '../src/app/free-port.ts'
import { startGuarded, type Guarded } from './guarded.ts'
import { freshLog } from './log-tail.ts'
import { partFailure } from './part-failure.ts'
import { forShell, postgresFiles } from './postgres-files.ts'
import { commandOf } from './process-identity.ts'
import { unprivileged, type Runner } from './unprivileged.ts'

export interface PostgresOptions {
  dataDir: string
  /** Default: a free one. */
  port?: number
  /** False gives up every promise about power cuts: for tests only. */
  durable: boolean
  log?: (line: string) => void
}

export type StopMode = 'fast' | 'immediate'

export interface Postgres extends AsyncDisposable {
  /** Superuser's address of the database `postgres`. */
  readonly url: string
  readonly port: number
  /** The postmaster; another one after a restart. */
  readonly pid: number
  /** The end of the present postmaster, wanted or not. */
  readonly exited: Promise<number>
  /** `fast` rolls back and writes everything down; `immediate` leaves recovery to the next start. */
  stop(mode?: StopMode): Promise<void>
  /** kill -9 of the postmaster. */
  kill(): Promise<void>
  /** After `stop` or `kill`: again on the same port and data. */
  start(): Promise<void>
  restart(mode?: StopMode): Promise<void>
}

const initTimeoutMs = 60_000
const readyTimeoutMs = 60_000 // recovery after a crash replays the log first
const retryForMs = 15_000
const stopTimeoutMs = 15_000
const signals = { fast: 'SIGINT', immediate: 'SIGQUIT' } as const

const careless = ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off']

/** The builtin provider sorts by code point on every platform; LC_CTYPE still steers text search. */
const localeOptions = [
  '--encoding=UTF8',
  '--locale=C',
  `--lc-ctype=${process.platform === 'darwin' ? 'en_US.UTF-8' : 'C.UTF-8'}`,
  '--locale-provider=builtin',
  '--builtin-locale=C.UTF-8',
]

interface Place {
  dataDir: string
  cluster: string
  passwordFile: string
  logFile: string
  owner: string
}

const placeOf = (dataDir: string): Place => ({
  dataDir,
  cluster: join(dataDir, 'cluster'),
  passwordFile: join(dataDir, 'password'),
  logFile: join(dataDir, 'postgres.log'),
  owner: join(dataDir, 'owner.json'),
})

/** Interrupted at any point this leaves no `cluster`, and the next start creates it again. */
const createCluster = async (
  place: Place,
  initdb: string,
  runner: Runner,
  durable: boolean,
): Promise<void> => {
  const draft = `${place.cluster}.new`
  rmSync(draft, { recursive: true, force: true })
  mkdirSync(draft, { mode: 0o700 })
  writeFileSync(place.passwordFile, crypto.randomUUID().replaceAll('-', ''), { mode: 0o600 })
  runner.own(draft)
  runner.own(place.passwordFile)
  const options = [
    '--username=postgres',
    '--auth=scram-sha-256',
    `--pwfile=${place.passwordFile}`,
    '--no-instructions',
  ].concat(localeOptions, durable ? [] : ['--no-sync'])
  const child = Bun.spawn([...runner.prefix, initdb, '--pgdata', draft, ...options], {
    cwd: place.dataDir,
    env: {},
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: initTimeoutMs,
  })
  const texts = Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()])
  const code = await child.exited
  if (code !== 0) throw partFailure('PostgreSQL', (await texts).toReversed().join('\n'), place.dataDir)
  renameSync(draft, place.cluster)
}

const postmasterLines = (place: Place): string[] => {
  try {
    return readFileSync(join(place.cluster, 'postmaster.pid'), 'utf8').split('\n')
  } catch {
    return []
  }
}

/** A crash leaves `postmaster.pid`; when its number now means another program, PostgreSQL would not start. */
const dropReusedPid = (place: Place): void => {
  const command = commandOf(Number(postmasterLines(place)[0]))
  if (command !== undefined && !command.includes(place.cluster)) rmSync(join(place.cluster, 'postmaster.pid'))
}

const isReady = (place: Place, pid: number): boolean => {
  const lines = postmasterLines(place)
  return lines[0] === String(pid) && lines[7]?.trim() === 'ready'
}

export const startPostgres = async (options: PostgresOptions): Promise<Postgres> => {
  const { dataDir, durable, log = () => {} } = options
  const place = placeOf(dataDir)
  const { initdb, postgres } = postgresFiles()
  mkdirSync(dataDir, { recursive: true })
  chmodSync(dataDir, 0o700)
  await claim(place.owner, `The PostgreSQL data in ${dataDir}`, signals.fast) // TERM would wait for clients
  const runner = unprivileged([postgres, '--version'])
  runner.own(dataDir)
  if (!existsSync(place.cluster)) {
    log('Creating the PostgreSQL cluster …')
    using program = forShell(initdb)
    await createCluster(place, program.path, runner, durable)
  }
  const password = readFileSync(place.passwordFile, 'utf8')

  let port = options.port ?? freePort()
  let running: Guarded

  const attempt = async (): Promise<string | undefined> => {
    dropReusedPid(place)
    freshLog(place.logFile)
    const settings = [
      'listen_addresses=127.0.0.1',
      `port=${port}`,
      'unix_socket_directories=',
      'max_connections=200',
      'log_line_prefix=%m [%p] ',
      'log_error_verbosity=terse', // no DETAIL: it quotes the row or key of a violated constraint
    ].concat(durable ? [] : careless)
    running = await startGuarded({
      command: [
        ...runner.prefix,
        postgres,
        '-D',
        place.cluster,
        ...settings.flatMap((setting) => ['-c', setting]),
      ],
      logFile: place.logFile,
      stopSignal: signals.fast,
      cwd: dataDir,
      env: {},
    })
    return running.failure(readyTimeoutMs, () => isReady(place, running.process.pid))
  }

  // Right after kill -9 the old backends still hold the shared memory; a port may be taken since it was chosen.
  const start = async (): Promise<void> => {
    const endsAt = performance.now() + retryForMs
    for (;;) {
      const failure = await attempt()
      if (failure === undefined) return note(place.owner, { child: running.process })
      const isPortTaken = failure.includes('could not bind') && options.port === undefined
      const isPassing =
        isPortTaken || failure.includes('pre-existing shared memory') || failure.includes('postmaster.pid')
      if (!isPassing || performance.now() > endsAt) throw partFailure('PostgreSQL', failure, dataDir)
      if (isPortTaken) port = freePort()
      await Bun.sleep(50)
    }
  }

  const stop = async (mode: StopMode = 'fast'): Promise<void> => {
    await running.stop(stopTimeoutMs, signals[mode])
  }

  try {
    await start()
  } catch (error) {
    release(place.owner)
    throw error
  }

  return {
    get url() {
      return `postgres://postgres:${password}@127.0.0.1:${port}/postgres`
    },
    get port() {
      return port
    },
    get pid() {
      return running.process.pid
    },
    get exited() {
      return running.exited
    },
    start,
    stop,
    async kill() {
      await running.kill()
    },
    async restart(mode) {
      await stop(mode)
      await start()
    },
    async [Symbol.asyncDispose]() {
      await stop()
      release(place.owner)
    },
  }
}
