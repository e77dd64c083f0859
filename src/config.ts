// The only reader of the environment. Invariant: all problems are reported together, by name, with the fix, and a secret
// never appears in an error. settings/table.ts lists the settings.
import { resolve } from 'node:path'
import type { JwtKey } from './settings/jwt-secrets.ts'
import { readSecretFiles } from './settings/secret-files.ts'
import type { Key } from './settings/setting-kinds.ts'
import { settings } from './settings/table.ts'

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
  /** Null: the usual port, or a free one where that is in use. */
  workerPort: number | null
  /** Null: the server has no internal port. */
  metricsPort: number | null
  internalHost: string
  dataDir: string
  /** Without a slash at its end; null for the address the server listens on. */
  publicUrl: string | null
  /** Null: mails are files below `dataDir`. */
  smtpUrl: string | null
  mailFrom: string
  /** Null: files are kept on the local disk. */
  s3Bucket: string | null
  s3Endpoint: string | null
  s3PublicEndpoint: string | null
  s3Region: string
  s3AccessKeyId: string | null
  s3SecretAccessKey: string | null
  s3PathStyle: boolean
  logLevel: string
  /** Null: nothing is traced. */
  otlpEndpoint: string | null
  otlpHeaders: Record<string, string>
  /** Null: by the role. */
  otelServiceName: string | null
  otelAttributes: Record<string, string>
  /** Of the traces that begin here: from 0 to 1. */
  tracesRatio: number
  /** The first signs, all verify. */
  jwtKeys: [JwtKey, ...JwtKey[]]
  /** Origins that may use cookies and open sockets. */
  allowedOrigins: string[]
  rateLimit: boolean
  registration: 'open' | 'invite' | 'closed'
  registrationsPerHour: number
  passwordResetsPerHour: number
  verificationsPerHour: number
  uploadsPerHour: number
  requestsPerMinute: number
  writtenMebibytesPerDay: number
  failedSignInsPer15Minutes: number
  passwordHashesAtOnce: number
  databasePool: number
  databaseCallsPerUser: number
  writeCoalescing: boolean
  apiDocs: boolean
  bodyMemoryMib: number
  bodyDeadlineSeconds: number
  feedRetentionDays: number
  maxConnections: number
  socketsPerUser: number
  sessionsPerUser: number
  sessionRetentionDays: number
  notificationRetentionDays: number
  deadLetterRetentionDays: number
  deliveryRetentionDays: number
  idempotencyRetentionHours: number
  upgradesPerMinute: number
  refusedUpgradesPerMinute: number
  drainDelaySeconds: number
  trustedProxies: number
  overdueIntervalMs: number
}

/** Settings whose defaults only serve mails of the own machine. */
const neededForMail = [
  ['PUBLIC_URL', 'links in mails begin with it'],
  ['MAIL_FROM', 'it is the sender of mails'],
] as const

/** Settings that are words in the table and booleans here. */
const switches = ['rateLimit', 'apiDocs', 'writeCoalescing', 's3PathStyle'] as const
type Switch = (typeof switches)[number]

/** Each row of the table reads the type of its field. */
type Keys = { [K in keyof typeof settings]: Key<K extends Switch ? 'on' | 'off' : Config[K]> }
const keys: Keys & Record<keyof Config, object> = settings

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
  if (production && read['smtpUrl'])
    for (const [name, use] of neededForMail)
      if (!files.environment[name]) problems.push(`${name} is missing: with SMTP_URL, ${use}`)
  for (const name of ['s3AccessKeyId', 's3SecretAccessKey'] as const)
    if (typeof read['s3Bucket'] === 'string' && read[name] === null)
      problems.push(`${keys[name].name} is missing; S3_BUCKET needs it`)
  if (problems.length > 0) throw new ConfigError(problems)
  for (const name of switches) if (name in read) read[name] = read[name] === 'on'
  if (typeof read['publicUrl'] === 'string') read['publicUrl'] = read['publicUrl'].replace(/\/$/, '')
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
