// The checks of PostgreSQL before a role starts: connection, authentication, version, encoding, writes accepted, and
// migrations this program can run on. Each failure is one sentence that includes its remedy.
import { connect } from 'node:net'
import postgres from 'postgres'
import { withTimeout } from '../async/timeout.ts'
import type { Warnings } from '../log.ts'
import type { DatabaseAddress } from '../settings/database-url.ts'
import { configurationFailure, StartFailure, unavailableFailure } from '../start/failure.ts'
import { oldestPostgres, postgresFailure, readOnly } from '../start/postgres.ts'
import { addressOf, driverOptions } from './address.ts'
import type { Queryable } from './client.ts'
import { readMigrations } from './migrations/migration-files.ts'
import { compareMigrations, newerNotice, newerObstacle, readApplied } from './migrations/migration-state.ts'

export interface DatabaseCheck {
  url: string
  log: Warnings
  /** `current`: no migration may be pending. `any`: only the server is checked, not the database. */
  migrations: 'current' | 'any'
  /** The folder of the migrations; the project's own by default. */
  folder?: string
}

const connectTimeoutMs = 3_000
const checkTimeoutMs = 8_000
/** A connection that a restart ended is opened again. */
const tries = 3

/** @returns the version of the server. @throws StartFailure */
export const checkDatabase = async (check: DatabaseCheck): Promise<string> => {
  const address = addressOf(check.url)
  for (let left = tries - 1; ; left -= 1) {
    try {
      return await withTimeout(checkTimeoutMs, 'checking PostgreSQL', look(check, address))
    } catch (error) {
      const failure = await explain(error, address)
      const isPassing = /closed the connection|ended the connection/.test(failure.message)
      if (left === 0 || !isPassing) throw failure
    }
  }
}

const look = async (
  { log, migrations, folder }: DatabaseCheck,
  address: DatabaseAddress,
): Promise<string> => {
  const sql = postgres({
    ...driverOptions(address, { applicationName: 'tasktide check', connectTimeoutMs }),
    max: 1,
    fetch_types: false,
    onnotice: () => {},
  })
  try {
    const version = await requireServer(sql)
    if (migrations === 'any') return version
    const status = compareMigrations(await readMigrations(folder), await readApplied(sql))
    const pending = status.filter(({ state }) => state === 'pending').map(({ name }) => name)
    const obstacle = newerObstacle(status)
    if (obstacle !== null) throw configurationFailure(obstacle)
    if (pending.length > 0)
      throw configurationFailure(
        `The database ${address.database} of DATABASE_URL lacks ${pending.length} of ${status.length} migrations (first ${pending[0]}): run bun src/main.ts migrate`,
      )
    const notice = newerNotice(status)
    if (notice !== null) log.warn({ oncePerMinute: 'newer database' }, notice)
    return version
  } finally {
    await sql.end({ timeout: 1 })
  }
}

/** @returns its version. @throws StartFailure for a server that Tasktide does not run on. */
export const requireServer = async (sql: Queryable): Promise<string> => {
  const [facts] = await sql<{ version: number; name: string; encoding: string; isReadOnly: boolean }[]>`
    select current_setting('server_version_num')::int as version,
      split_part(current_setting('server_version'), ' ', 1) as name,
      current_setting('server_encoding') as encoding,
      pg_is_in_recovery() or current_setting('transaction_read_only') = 'on' as "isReadOnly"`
  const { version, name, encoding, isReadOnly } = facts!
  const major = Math.floor(version / 10_000)
  if (major < oldestPostgres)
    throw configurationFailure(
      `DATABASE_URL names PostgreSQL ${major}, and Tasktide needs ${oldestPostgres} or later: upgrade it, or name another`,
    )
  if (encoding !== 'UTF8')
    throw configurationFailure(
      `DATABASE_URL names a database in the encoding ${encoding}, and Tasktide needs UTF8: create another (create database … encoding 'UTF8' template template0)`,
    )
  if (isReadOnly) throw readOnly()
  return name
}

const explain = async (error: unknown, address: DatabaseAddress): Promise<StartFailure> => {
  if (error instanceof StartFailure) return error
  const { host, port, tls } = address
  const isEncrypted = tls.mode !== 'disable' && tls.mode !== 'allow' && tls.mode !== 'prefer'
  if (isEncrypted && !host.startsWith('/') && (await offersTls(host, port)) === false)
    return configurationFailure(
      `DATABASE_URL asks for TLS (sslmode=${tls.mode}), which PostgreSQL at ${host}:${port} does not offer: set ssl = on there, or sslmode=disable here`,
    )
  return (
    postgresFailure(error, address) ??
    unavailableFailure(`DATABASE_URL: PostgreSQL at ${host}:${port} does not answer as expected`)
  )
}

/** The protocol's SSLRequest: a length and a magic number. PostgreSQL answers S or N. */
const sslRequest = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])

/** Whether the server accepts TLS; null where it does not answer. */
const offersTls = (host: string, port: number): Promise<boolean | null> => {
  const answer = Promise.withResolvers<boolean | null>()
  const socket = connect({ host, port, timeout: connectTimeoutMs })
  socket.on('connect', () => socket.write(sslRequest))
  socket.on('data', (data) => answer.resolve(data[0] === 'S'.codePointAt(0)))
  for (const event of ['error', 'timeout', 'close']) socket.on(event, () => answer.resolve(null))
  return answer.promise.finally(() => socket.destroy())
}
