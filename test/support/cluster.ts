// A cluster of real processes: PostgreSQL, Redis, servers and workers. Each can be killed and started again on the same
// port, and none outlives this process.
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { urlOf } from '../../dev/databases.ts'
import { send } from '../../dev/guarded.ts'
import { startPostgres, type Postgres } from '../../dev/postgres.ts'
import { startRedis, type Redis } from '../../dev/redis.ts'
import { openRole, runRole, type OpenedRole } from '../../dev/roles.ts'
import { mountMemory } from './memory-mount.ts'
import { tcpProxy, type TcpProxy } from './tcp-proxy.ts'

const stopTimeoutMs = 10_000
const drainTimeoutMs = 35_000 // a role's own deadline is 30 s

export interface Role extends AsyncDisposable {
  readonly name: string
  readonly url: string
  readonly pid: number
  /** kill -9; resolves when the process has ended. */
  kill(): Promise<void>
  /** SIGTERM; resolves with the exit code when the process has ended. */
  stop(): Promise<number>
  signal(name: NodeJS.Signals): void
  /** Resolves with the exit code when the process ends, wanted or not. */
  readonly exited: Promise<number>
  /** Starts it again on its port, with more settings if given; resolves when it answers. */
  start(environment?: Record<string, string>): Promise<void>
}

export interface Cluster extends AsyncDisposable {
  /** With the folders `postgres` and `redis`. */
  dataDir: string
  /** Straight to PostgreSQL, past a proxy. */
  databaseUrl: string
  /** Straight to Redis, past a proxy. */
  redisUrl: string
  /** What the roles were started with. */
  environment: Record<string, string>
  postgres: Postgres
  redis: Redis
  /** The proxies of the roles' connections, with `isProxied`. */
  proxies: { postgres: TcpProxy; redis: TcpProxy } | null
  servers: Role[]
  workers: Role[]
  /** Lines at level `error` in the logs of all roles. */
  errorsLogged(): Promise<string[]>
}

export interface ClusterOptions {
  servers: number
  workers: number
  /** Over the settings of a bulk run. */
  environment?: Record<string, string>
  /** Redis keeps an append-only file, and with it its data over a kill. */
  isRedisAppendOnly?: boolean
  /** PostgreSQL's data has a file system of this size, in memory. Needs the right to mount. */
  databaseBytes?: number
  /** Puts a proxy that can fail in front of PostgreSQL and Redis. */
  isProxied?: boolean
  report: (line: string) => void
}

export const startCluster = async ({
  servers,
  workers,
  environment,
  isProxied = false,
  isRedisAppendOnly = false,
  databaseBytes,
  report,
}: ClusterOptions): Promise<Cluster> => {
  await using stack = new AsyncDisposableStack()
  const dataDir = await mkdtemp(join(tmpdir(), 'tide-cluster-'))
  stack.defer(() => rm(dataDir, { recursive: true, force: true }))
  const logsDir = join(dataDir, 'logs')
  await mkdir(logsDir)
  report('starting PostgreSQL and Redis')
  const postgresDir = join(dataDir, 'postgres')
  if (databaseBytes !== undefined) stack.use(await mountMemory(postgresDir, databaseBytes))
  const postgres = stack.use(await startPostgres({ dataDir: postgresDir, durable: true }))
  const redisDir = join(dataDir, 'redis')
  const redis = stack.use(await startRedis({ dataDir: redisDir, appendOnly: isRedisAppendOnly }))
  const proxies = isProxied
    ? {
        postgres: stack.use(await tcpProxy({ host: '127.0.0.1', port: postgres.port })),
        redis: stack.use(await tcpProxy({ host: '127.0.0.1', port: redis.port })),
      }
    : null
  const through = (url: string, proxy: TcpProxy | undefined): string =>
    proxy ? url.replace(/:\d+(?=\/|$)/, `:${proxy.port}`) : url
  const databaseUrl = urlOf(postgres.url, 'tasktide')
  const env: Record<string, string> = {
    PATH: process.env['PATH'] ?? '',
    HOME: process.env['HOME'] ?? '',
    DATABASE_URL: through(databaseUrl, proxies?.postgres),
    REDIS_URL: through(redis.url, proxies?.redis),
    JWT_SECRETS: `k1:${crypto.randomUUID()}${crypto.randomUUID()}`,
    RATE_LIMIT: 'off',
    LOG_LEVEL: 'warn',
    SOCKETS_PER_USER: '1000',
    UPGRADES_PER_MINUTE: '1000000',
    OVERDUE_INTERVAL_MS: '1000',
    ...environment,
  }
  await runRole('migrate', { env, logsDir })
  report(
    `starting ${servers} server${servers === 1 ? '' : 's'} and ${workers} worker${workers === 1 ? '' : 's'}`,
  )
  const open = async (role: 'server' | 'worker', count: number): Promise<Role[]> =>
    Promise.all(
      Array.from({ length: count }, async (_, index) => {
        const name = `${role} ${String.fromCodePoint(65 + index)}`
        return stack.use(await startRole(name, role, env, logsDir))
      }),
    )
  const opened = { servers: await open('server', servers), workers: await open('worker', workers) }
  const owned = stack.move()
  return {
    ...opened,
    dataDir,
    databaseUrl,
    redisUrl: redis.url,
    environment: env,
    postgres,
    redis,
    proxies,
    async errorsLogged() {
      const glob = new Bun.Glob('*.log')
      const logs = await Array.fromAsync(glob.scan({ cwd: logsDir, absolute: true }), (file) =>
        Bun.file(file).text(),
      )
      return logs.flatMap((text) => text.split('\n').filter((line) => line.startsWith('{"level":"error"')))
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

const startRole = async (
  name: string,
  role: 'server' | 'worker',
  env: Record<string, string>,
  logsDir: string,
): Promise<Role> => {
  let starts = 0
  // Each start has its own log: the ready line of an earlier one must not be taken for the next's.
  const open = (port: string, environment: Record<string, string> = {}): Promise<OpenedRole> =>
    openRole(
      role,
      { env: { ...env, ...environment, PORT: port, WORKER_PORT: port }, logsDir },
      join(logsDir, `${name} ${(starts += 1)}.log`),
    )
  let current = await open('0')
  const { url } = current
  return {
    name,
    url,
    get pid() {
      return current.child.process.pid
    },
    get exited() {
      return current.child.exited
    },
    signal: (signal) => send(current.child.process.pid, signal),
    async start(environment) {
      current = await open(new URL(url).port, environment)
    },
    stop: () => current.child.stop(drainTimeoutMs),
    async kill() {
      await current.child.kill()
    },
    async [Symbol.asyncDispose]() {
      await current.child.stop(stopTimeoutMs)
    },
  }
}
