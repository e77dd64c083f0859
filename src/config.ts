// The only reader of the environment. All problems are reported together, by name, with the fix; what is
// secret never appears in an error or in `describe`.
import { resolve } from 'node:path'
import { originFault } from './settings/origin.ts'
import { readSecretFiles } from './settings/secret-files.ts'
import { oneOf, secret, text, whole, wholeIn, type Key } from './settings/setting-kinds.ts'
import { readDatabaseUrl } from './settings/database-url.ts'
import { jwtSecrets, type JwtKey } from './settings/jwt-secrets.ts'
import { readRedisUrl } from './settings/redis-url.ts'

export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  constructor(readonly problems: string[]) {
    super(
      problems.length === 1
        ? `The configuration has a problem: ${problems[0]}`
        : `The configuration has ${problems.length} problems:\n${problems.map((line) => `  - ${line}`).join('\n')}`,
    )
  }
}

export interface Config {
  env: 'development' | 'production'
  databaseUrl: string
  redisUrl: string
  host: string
  port: number
  workerPort: number
  dataDir: string
  logLevel: string
  /** The first signs, all verify. */
  jwtKeys: [JwtKey, ...JwtKey[]]
  /** Origins that may use cookies and open sockets. */
  allowedOrigins: string[]
  rateLimit: boolean
  registrationsPerHour: number
  requestsPerMinute: number
  writtenMebibytesPerDay: number
  failedSignInsPer15Minutes: number
  passwordHashesAtOnce: number
  databasePool: number
  databaseCallsPerUser: number
  bodyMemoryMib: number
  bodyDeadlineSeconds: number
  feedRetentionDays: number
  maxConnections: number
  socketsPerUser: number
  sessionsPerUser: number
  sessionRetentionDays: number
  notificationRetentionDays: number
  deadLetterRetentionDays: number
  idempotencyRetentionHours: number
  upgradesPerMinute: number
  drainDelaySeconds: number
  trustedProxies: number
  overdueIntervalMs: number
}

/** `[::1]`, as URLs write it, is the address `::1`. */
export const withoutBrackets = (host: string): string => host.replace(/^\[(.*)\]$/, '$1')

const origins: Key<string[]> = {
  name: 'ALLOWED_ORIGINS',
  about:
    "Origins of web clients that may use cookies and sockets, comma list, also of apps such as capacitor://localhost; the server's own is always allowed, in development also those of loopback and private networks",
  example: 'https://tasks.example.com',
  read(value, fail) {
    const list = (value ?? '')
      .split(',')
      .map((origin) => origin.trim())
      .filter(Boolean)
    for (const origin of list) {
      const fault = originFault(origin)
      if (fault) fail(`lists ${origin.replace(/\/\/.*@/, '//…@')}, which ${fault}`)
    }
    return list
  },
}

const keys = {
  env: oneOf(
    'TIDE_ENV',
    'What the process may assume; production refuses weak settings',
    'development',
    'development',
    'production',
  ),
  databaseUrl: secret(
    text(
      'DATABASE_URL',
      'PostgreSQL 15 or later, UTF-8; `up` embeds one when unset',
      'postgres://user:password@localhost:5432/tasktide',
      null,
      (value) => readDatabaseUrl(value).problems,
    ),
  ),
  redisUrl: secret(
    text(
      'REDIS_URL',
      'Redis 6.2 or Valkey 7.2 or later; `up` starts one when unset',
      'redis://localhost:6379',
      null,
      (value) => readRedisUrl(value).problems,
    ),
  ),
  host: {
    ...text('HOST', 'Address the server listens on (default 127.0.0.1)', '127.0.0.1', null),
    read: (value = '127.0.0.1') => withoutBrackets(value),
  },
  port: whole('PORT', 'Port the server listens on; 0 takes a free one', 3000, 0, 65_535),
  workerPort: whole(
    'WORKER_PORT',
    "Loopback port of the worker's health routes; 0 takes a free one",
    3001,
    0,
    65_535,
  ),
  dataDir: text('TIDE_DATA', 'Folder of embedded databases and files (default .data)', '.data', '.data'),
  logLevel: oneOf(
    'LOG_LEVEL',
    'Least severe log line that is written',
    'info',
    'trace',
    'debug',
    'info',
    'warn',
    'error',
    'silent',
  ),
  jwtKeys: secret(jwtSecrets),
  allowedOrigins: origins,
  rateLimit: oneOf(
    'RATE_LIMIT',
    'off exists for benchmarks and bulk runs and is refused in production',
    'on',
    'on',
    'off',
  ),
  registrationsPerHour: whole('RATE_LIMIT_REGISTRATIONS', 'Registrations an hour per IP', 10, 1, 1_000_000),
  writtenMebibytesPerDay: whole(
    'RATE_LIMIT_WRITTEN_MIB',
    'MiB a day that the writes of one user may store, with their log',
    1024,
    1,
    1_000_000,
  ),
  requestsPerMinute: whole('RATE_LIMIT_REQUESTS', 'Requests a minute per user', 6000, 1, 10_000_000),
  failedSignInsPer15Minutes: whole(
    'RATE_LIMIT_SIGN_INS',
    'Failed sign-ins in 15 minutes per IP and per account',
    10,
    1,
    1_000_000,
  ),
  passwordHashesAtOnce: whole(
    'PASSWORD_HASHES_AT_ONCE',
    'Password hashes computed at once, so that sign-in floods starve nothing',
    2,
    1,
    64,
  ),
  databasePool: whole('DATABASE_POOL', 'PostgreSQL connections a process opens', 16, 2, 200),
  databaseCallsPerUser: whole(
    'DATABASE_CALLS_PER_USER',
    'Database calls one user has in flight on a process, at most half of the pool; the rest waits',
    8,
    1,
    100,
  ),
  bodyMemoryMib: whole(
    'BODY_MEMORY_MIB',
    'MiB of request bodies a process takes at once; a quarter for one user, a quarter for all without a session',
    32,
    16,
    4_096,
  ),
  bodyDeadlineSeconds: whole('BODY_DEADLINE', 'Seconds in which a request body has to arrive', 8, 1, 60),
  feedRetentionDays: whole('FEED_RETENTION_DAYS', 'Days the change log is kept', 7, 1, 365),
  maxConnections: whole('MAX_CONNECTIONS', 'Sockets a process accepts', 10_000, 1, 1_000_000),
  sessionsPerUser: whole(
    'SESSIONS_PER_USER',
    'Live sessions a person has at most; the oldest ends when another begins',
    50,
    1,
    1_000,
  ),
  sessionRetentionDays: whole(
    'SESSION_RETENTION_DAYS',
    'Days that ended sessions and refresh tokens are kept',
    30,
    1,
    3_650,
  ),
  notificationRetentionDays: whole(
    'NOTIFICATION_RETENTION_DAYS',
    'Days that read notifications are kept',
    90,
    1,
    3_650,
  ),
  deadLetterRetentionDays: whole(
    'DEAD_LETTER_RETENTION_DAYS',
    'Days that entries a consumer gave up on are kept',
    90,
    1,
    3_650,
  ),
  idempotencyRetentionHours: whole(
    'IDEMPOTENCY_RETENTION_HOURS',
    'Hours that answers are kept for repeats of their Idempotency-Key',
    24,
    1,
    24,
  ),
  socketsPerUser: whole('SOCKETS_PER_USER', 'Sockets one user may hold on a process', 20, 1, 100_000),
  upgradesPerMinute: whole('UPGRADES_PER_MINUTE', 'Socket upgrades a minute per user', 120, 1, 1_000_000),
  drainDelaySeconds: wholeIn(
    'DRAIN_DELAY',
    'Seconds a stopping server waits for balancers to notice',
    { development: 0, production: 5 },
    0,
    20,
  ),
  trustedProxies: whole(
    'TRUSTED_PROXIES',
    'Reverse proxies in front, whose X-Forwarded-For entries are believed',
    0,
    0,
    10,
  ),
  overdueIntervalMs: whole(
    'OVERDUE_INTERVAL_MS',
    'Milliseconds between looks for overdue tasks',
    15_000,
    100,
    3_600_000,
  ),
} satisfies { [K in keyof Omit<Config, 'rateLimit'>]: Key<Config[K]> } & { rateLimit: Key<'on' | 'off'> }

/**
 * @param environment usually `process.env`; empty values count as unset.
 * @param only what a command needs, where it needs less than everything.
 * @throws ConfigError naming every problem.
 */
export const readConfig = <K extends keyof Config = keyof Config>(
  environment: Record<string, string | undefined>,
  only?: readonly K[],
): Pick<Config, K> => {
  const problems: string[] = []
  const wanted = Object.entries(keys as Record<string, Key<unknown>>).filter(
    ([field]) => !only || (only as readonly string[]).includes(field),
  )
  const files = readSecretFiles(
    environment,
    wanted.flatMap(([, key]) => (key.secret ? key.name : [])),
  )
  const production = environment['TIDE_ENV'] === 'production'
  const read = Object.fromEntries(
    wanted.map(([field, key]) => {
      const fail = (fix: string): void => void problems.push(`${files.source(key.name)} ${fix}`)
      const fault = files.problems.get(key.name)
      if (fault === undefined)
        return [field, key.read(files.environment[key.name] || undefined, fail, production)]
      fail(fault)
      return [field, undefined]
    }),
  )
  if (production && read['rateLimit'] === 'off') problems.push('RATE_LIMIT must not be off in production')
  if (problems.length > 0) throw new ConfigError(problems)
  if ('rateLimit' in read) read['rateLimit'] = read['rateLimit'] === 'on'
  if ('dataDir' in read) read['dataDir'] = resolve(String(read['dataDir']))
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- each key of the table reads its own type
  return read as Pick<Config, K>
}

/** Names of the settings that may come from a file. */
export const secretSettings: readonly string[] = Object.values(keys as Record<string, Key<unknown>>)
  .filter((key) => key.secret)
  .map((key) => key.name)

/** Every variable that is read, NAME_FILE too. */
export const settingNames: readonly string[] = [
  ...Object.values(keys).map((key) => key.name),
  ...secretSettings.map((name) => `${name}_FILE`),
]

/** The text of .env.example: every key, what it is for, an example. A test compares it with the file. */
export const exampleEnvironment = (): string =>
  [
    '# Every setting. Nothing is needed for `npm run up`; a process of its own needs the three without a default.\n',
    ...Object.values(keys as Record<string, Key<unknown>>).map(
      (key) =>
        `# ${key.about}${key.secret ? `; ${key.name}_FILE may name a file that holds it` : ''}\n# ${key.name}=${key.example}\n`,
    ),
  ].join('\n')
