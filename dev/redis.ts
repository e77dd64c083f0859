// A private Redis in a folder of its own, on a port of 127.0.0.1 and behind a password, because every user of the
// machine can reach the port. One live process at a time owns the folder; the append-only file survives kill -9.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { claim, note, release } from './claim.ts'
import { freePort } from '../src/app/free-port.ts'
import { startGuarded, type Guarded } from './guarded.ts'
import { freshLog } from './log-tail.ts'
import { partFailure } from './part-failure.ts'
import { redisBinary } from './redis-binary.ts'

export interface RedisOptions {
  /** Default: a temporary folder that is removed with the server. */
  dataDir?: string
  /** Keep what was written over a restart. */
  appendOnly: boolean
  /** Default: a free one. */
  port?: number
  log?: (line: string) => void
}

export interface Redis extends AsyncDisposable {
  readonly url: string
  readonly port: number
  /** The server; another one after a restart. */
  readonly pid: number
  /** The end of the present server, wanted or not. */
  readonly exited: Promise<number>
  stop(): Promise<void>
  /** kill -9 of the server. */
  kill(): Promise<void>
  /** After `stop` or `kill`: again on the same port and data. */
  start(): Promise<void>
}

const readyTimeoutMs = 30_000 // a large append-only file is read first
const stopTimeoutMs = 10_000

const passwordOf = (path: string): string => {
  if (existsSync(path)) return readFileSync(path, 'utf8')
  const password = crypto.randomUUID().replaceAll('-', '')
  writeFileSync(path, password, { mode: 0o600 })
  return password
}

export const startRedis = async (options: RedisOptions): Promise<Redis> => {
  const { appendOnly, log } = options
  const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), 'tide-redis-'))
  const owner = join(dataDir, 'owner.json')
  const logFile = join(dataDir, 'redis.log')
  const configFile = join(dataDir, 'redis.conf')
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  const binary = await redisBinary(log)
  await claim(owner, `The Redis data in ${dataDir}`)
  const password = passwordOf(join(dataDir, 'password'))

  let port = options.port ?? freePort()
  let running: Guarded

  const attempt = async (): Promise<string | undefined> => {
    freshLog(logFile)
    const config = {
      bind: '127.0.0.1',
      port,
      requirepass: password,
      dir: JSON.stringify(dataDir),
      save: '""',
      appendonly: appendOnly ? 'yes' : 'no',
      appendfsync: 'everysec',
      'maxmemory-policy': 'noeviction',
    }
    const lines = Object.entries(config).map(([key, value]) => `${key} ${value}\n`)
    writeFileSync(configFile, lines.join(''), { mode: 0o600 })
    running = await startGuarded({
      command: [binary.path, configFile],
      logFile,
      stopSignal: 'SIGTERM',
      cwd: dataDir,
      env: binary.env,
    })
    return running.failure(readyTimeoutMs, () =>
      readFileSync(logFile, 'utf8').includes('Ready to accept connections'),
    )
  }

  const start = async (): Promise<void> => {
    for (let left = 5; ; left--) {
      const failure = await attempt()
      if (failure === undefined) return note(owner, { child: running.process })
      const isPortTaken = failure.includes('Address already in use') && options.port === undefined
      if (!isPortTaken || left === 1) throw partFailure('Redis', failure, dataDir)
      port = freePort()
    }
  }

  const stop = async (): Promise<void> => {
    await running.stop(stopTimeoutMs)
  }

  const leave = (): void => {
    release(owner)
    if (options.dataDir === undefined) rmSync(dataDir, { recursive: true, force: true })
  }

  try {
    await start()
  } catch (error) {
    leave()
    throw error
  }

  return {
    get url() {
      return `redis://:${password}@127.0.0.1:${port}`
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
    async [Symbol.asyncDispose]() {
      await stop()
      leave()
    },
  }
}
