// The real thing under test: PostgreSQL, Redis, two servers and two workers, each a process of its own that can be
// killed and started again on the same port.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startPostgres } from '../../src/embedded/postgres.ts'
import { startRedis } from '../../src/embedded/redis.ts'

const root = join(import.meta.dir, '../..')
const readyTimeoutMs = 15_000

export interface Role {
  readonly name: string
  readonly url: string
  /** kill -9; resolves when the process is gone. */
  kill(): Promise<void>
  /** Starts it again on its port; resolves when it answers. */
  start(): Promise<void>
}

export interface Cluster extends AsyncDisposable {
  databaseUrl: string
  redisUrl: string
  servers: [Role, Role]
  workers: [Role, Role]
}

/** @param environment settings over those of a bulk run. */
export const startCluster = async (
  environment: Record<string, string>,
  report: (line: string) => void,
): Promise<Cluster> => {
  await using stack = new AsyncDisposableStack()
  const dataDir = await mkdtemp(join(tmpdir(), 'tide-story-'))
  stack.defer(() => rm(dataDir, { recursive: true, force: true }))
  report('starting PostgreSQL and Redis')
  const postgres = stack.use(await startPostgres({ dataDir: join(dataDir, 'postgres'), durable: true }))
  const redis = stack.use(await startRedis({ dataDir: join(dataDir, 'redis'), appendOnly: false }))
  const settings = {
    DATABASE_URL: postgres.url.replace(/\/postgres(?=\?|$)/, '/tasktide'),
    REDIS_URL: redis.url,
    JWT_SECRETS: `story:${crypto.randomUUID()}${crypto.randomUUID()}`,
    RATE_LIMIT: 'off',
    LOG_LEVEL: 'warn',
    SOCKETS_PER_USER: '1000',
    UPGRADES_PER_MINUTE: '1000000',
    OVERDUE_INTERVAL_MS: '1000',
    ...environment,
  }
  const migrated = Bun.spawn(['bun', 'src/main.ts', 'migrate'], {
    cwd: root,
    env: environmentOf(settings),
    stdout: 'ignore',
    stderr: 'inherit',
  })
  if ((await migrated.exited) !== 0) throw new Error('migrate failed')
  report('starting two servers and two workers')
  const start = async (name: string, role: 'server' | 'worker'): Promise<Role> =>
    stack.use(await startRole(name, role, settings))
  const servers = await Promise.all([start('server A', 'server'), start('server B', 'server')])
  const workers = await Promise.all([start('worker A', 'worker'), start('worker B', 'worker')])
  const owned = stack.move()
  return {
    databaseUrl: settings.DATABASE_URL,
    redisUrl: redis.url,
    servers: [servers[0]!, servers[1]!],
    workers: [workers[0]!, workers[1]!],
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

const environmentOf = (settings: Record<string, string>): Record<string, string> => ({
  PATH: process.env['PATH'] ?? '',
  HOME: process.env['HOME'] ?? '',
  ...settings,
})

const startRole = async (
  name: string,
  role: 'server' | 'worker',
  settings: Record<string, string>,
): Promise<Role & AsyncDisposable> => {
  let port = '0'
  let url = ''
  let child: Bun.Subprocess<'ignore', 'pipe', 'inherit'> | null = null
  const start = async (): Promise<void> => {
    child = Bun.spawn([process.execPath, 'src/main.ts', role, '--json'], {
      cwd: root,
      env: environmentOf({ ...settings, PORT: port, WORKER_PORT: port }),
      stdin: 'ignore',
      stdout: 'pipe',
      stderr: 'inherit',
    })
    const ready = await firstReadyLine(child, name)
    url = ready.url
    port = new URL(url).port
  }
  await start()
  return {
    name,
    get url() {
      return url
    },
    start,
    async kill() {
      child!.kill('SIGKILL')
      await child!.exited
    },
    async [Symbol.asyncDispose]() {
      child!.kill('SIGTERM')
      const timer = setTimeout(() => child!.kill('SIGKILL'), 10_000)
      const code = await child!.exited
      clearTimeout(timer)
      if (code !== 0 && code !== 137) console.error(`${name} ended with ${code}`)
    },
  }
}

/** Reads the ready line and passes the log lines after it on to standard error. */
const firstReadyLine = async (
  child: Bun.Subprocess<'ignore', 'pipe', 'inherit'>,
  name: string,
): Promise<{ url: string }> => {
  const ready = Promise.withResolvers<{ url: string }>()
  const timer = setTimeout(
    () => ready.reject(new Error(`${name} was not ready within ${readyTimeoutMs} ms`)),
    readyTimeoutMs,
  )
  const follow = async (): Promise<void> => {
    let rest = ''
    for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + chunk).split('\n')
      rest = lines.pop()!
      for (const line of lines) {
        if (line.startsWith('{"ready":true')) ready.resolve(JSON.parse(line) as { url: string })
        else process.stderr.write(`[${name}] ${line}\n`)
      }
    }
    ready.reject(new Error(`${name} ended before it was ready`))
  }
  void follow()
  return ready.promise.finally(() => clearTimeout(timer))
}
