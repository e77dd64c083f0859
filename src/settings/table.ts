// Every setting: its variable, what it is for, its default and bounds. Invariant: one row is all there is of a setting
// (parsing, messages, .env.example), and `Config` has the field it is read into.
import { readDatabaseUrl } from './database-url.ts'
import { collectorSettings } from './collector.ts'
import { jwtSecrets } from './jwt-secrets.ts'
import { originFault } from './origin.ts'
import { readRedisUrl } from './redis-url.ts'
import { oneOf, optional, secret, text, whole, wholeIn, type Key, optionalWhole } from './setting-kinds.ts'
import { publicUrlFault, readMailSender, readSmtpUrl } from './smtp-url.ts'
import { storeUrlProblems } from './store-url.ts'

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

/** Of a worker whose port is not set, unless it is in use. */
export const usualWorkerPort = 3001

/** By the field of `Config` it is read into. */
export const settings = {
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
      'Redis 6.2 or Valkey 7.2 or later, one server without cluster mode; `up` starts one when unset',
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
  workerPort: optionalWhole(
    'WORKER_PORT',
    'Internal port of the worker: health and metrics; 0 takes a free one',
    usualWorkerPort,
    0,
    65_535,
    `${usualWorkerPort}, or a free one where that is in use`,
  ),
  metricsPort: optionalWhole(
    'METRICS_PORT',
    'Internal port of the server: health and metrics, with --workers of all processes; 0 takes a free one',
    9_464,
    0,
    65_535,
  ),
  internalHost: {
    ...text(
      'INTERNAL_HOST',
      'Address of the internal ports, which ask for no credentials (default 127.0.0.1)',
      '127.0.0.1',
      null,
    ),
    read: (value = '127.0.0.1') => withoutBrackets(value),
  },
  dataDir: text('TIDE_DATA', 'Folder of embedded databases and files (default .data)', '.data', '.data'),
  publicUrl: optional(
    'PUBLIC_URL',
    'Address under which people reach the server; links in mails begin with it (default http://HOST:PORT)',
    'https://tasks.example.com',
    (value) => {
      const fault = publicUrlFault(value)
      return fault === null ? [] : [fault]
    },
  ),
  smtpUrl: secret(
    optional(
      'SMTP_URL',
      'Server that sends mails, smtp:// or smtps://; when unset mails are written to TIDE_DATA/mail',
      'smtp://user:password@smtp.example.com:587',
      (value) => readSmtpUrl(value).problems,
    ),
  ),
  mailFrom: text(
    'MAIL_FROM',
    'Sender of mails, as Name <address>',
    'Tasktide <tasks@example.com>',
    'Tasktide <tasktide@localhost>',
    (value) => (readMailSender(value) ? [] : ['must be an address or Name <address>']),
  ),
  s3Bucket: optional(
    'S3_BUCKET',
    'Bucket of an S3-compatible store for files; when unset they are kept in TIDE_DATA/files',
    'tasktide',
    (value) => (/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(value) ? [] : ['is no name of a bucket']),
  ),
  s3Endpoint: optional(
    'S3_ENDPOINT',
    'URL of the store; when unset that of AWS',
    'http://localhost:9000',
    storeUrlProblems,
  ),
  s3PublicEndpoint: optional(
    'S3_PUBLIC_ENDPOINT',
    'URL at which clients reach the store for direct uploads; when unset S3_ENDPOINT',
    'https://files.example.com',
    storeUrlProblems,
  ),
  s3Region: text('S3_REGION', 'Region of the bucket (default us-east-1)', 'us-east-1', 'us-east-1'),
  s3AccessKeyId: optional('S3_ACCESS_KEY_ID', 'Access key of the store', 'tasktide'),
  s3SecretAccessKey: secret(optional('S3_SECRET_ACCESS_KEY', 'Secret of the access key', 'change-me')),
  s3PathStyle: oneOf(
    'S3_PATH_STYLE',
    'on: the bucket is in the path of URLs; off: in the host name',
    'on',
    'on',
    'off',
  ),
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
  ...collectorSettings,
  jwtKeys: secret(jwtSecrets),
  allowedOrigins: origins,
  rateLimit: oneOf(
    'RATE_LIMIT',
    'off exists for benchmarks and bulk runs and is refused in production',
    'on',
    'on',
    'off',
  ),
  registration: oneOf(
    'REGISTRATION',
    'Who may register: everyone, those whom an admin invited, or no one (admins create accounts)',
    'open',
    'open',
    'invite',
    'closed',
  ),
  registrationsPerHour: whole('RATE_LIMIT_REGISTRATIONS', 'Registrations an hour per IP', 10, 1, 1_000_000),
  passwordResetsPerHour: whole(
    'RATE_LIMIT_PASSWORD_RESETS',
    'Requested password resets an hour per IP and per address',
    5,
    1,
    1_000_000,
  ),
  verificationsPerHour: whole(
    'RATE_LIMIT_VERIFICATIONS',
    'Requested verifications of the e-mail address an hour per user',
    5,
    1,
    1_000_000,
  ),
  writtenMebibytesPerDay: whole(
    'RATE_LIMIT_WRITTEN_MIB',
    'MiB a day that the writes of one user may store, with their log',
    1024,
    1,
    1_000_000,
  ),
  uploadsPerHour: whole('RATE_LIMIT_UPLOADS', 'Uploads an hour per user', 60, 1, 1_000_000),
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
  apiDocs: oneOf(
    'API_DOCS',
    'off leaves out the page of the API at /api/docs and the live board at /board',
    'on',
    'on',
    'off',
  ),
  writeCoalescing: oneOf(
    'WRITE_COALESCING',
    'on: writes to tasks that arrive together share a transaction; off exists for measurements',
    'on',
    'on',
    'off',
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
    'Days that entries a consumer gave up on, and jobs that failed for good, are kept',
    90,
    1,
    3_650,
  ),
  deliveryRetentionDays: whole(
    'DELIVERY_RETENTION_DAYS',
    'Days that the rows of done jobs are kept',
    7,
    1,
    365,
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
  refusedUpgradesPerMinute: whole(
    'RATE_LIMIT_REFUSED_UPGRADES',
    'Socket upgrades a minute per IP without valid credentials',
    60,
    1,
    1_000_000,
  ),
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
    'Milliseconds between looks for tasks that are overdue or due soon',
    15_000,
    100,
    3_600_000,
  ),
}
