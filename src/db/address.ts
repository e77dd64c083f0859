// The parsed DATABASE_URL, and the driver options made from it: the driver never gets the URL itself.
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import type postgres from 'postgres'
import { readDatabaseUrl, type DatabaseAddress } from '../settings/database-url.ts'
import { configurationFailure } from '../start/failure.ts'

/** @throws StartFailure with what is wrong with the URL. */
export const addressOf = (text: string): DatabaseAddress => {
  const { address, problems } = readDatabaseUrl(text)
  if (problems.length > 0) throw configurationFailure(`DATABASE_URL ${problems.join('; ')}`)
  return address
}

interface Driver {
  host: string
  port: number
  database: string
  ssl: NonNullable<postgres.Options<Record<string, never>>['ssl']>
  connect_timeout: number
  user?: string
  pass?: string
}

/**
 * Options of the driver for an address.
 * @param usual the role's values for what the URL does not set.
 * @throws StartFailure for a certificate that cannot be read.
 */
export const driverOptions = (
  address: DatabaseAddress,
  usual: { applicationName: string; connectTimeoutMs: number },
) => {
  const { host, port, database, user, password, connectTimeoutSeconds, applicationName, options } = address
  const connect: Driver = {
    host,
    port,
    database,
    ssl: tlsOptions(address),
    connect_timeout: connectTimeoutSeconds ?? usual.connectTimeoutMs / 1000,
    ...(user !== null && { user }),
    ...(password !== null && { pass: password }),
  }
  return {
    ...connect,
    connection: {
      application_name: usual.applicationName.replace(/^tasktide/, applicationName ?? 'tasktide'),
      TimeZone: 'UTC',
      ...(options !== null && { options }),
    },
  }
}

const tlsOptions = ({ host, tls }: DatabaseAddress): Driver['ssl'] => {
  const { mode } = tls
  if (mode === 'disable' || host.startsWith('/')) return false
  if (mode === 'allow' || mode === 'prefer') return 'prefer' // the driver encrypts where the server can
  const file = (parameter: string, path: string | null): string | undefined => {
    if (path === null || path === 'system') return undefined
    try {
      return readFileSync(path, 'utf8')
    } catch (error) {
      const code: unknown = Reflect.get(Object(error), 'code')
      throw configurationFailure(
        `DATABASE_URL names the file ${path} as ${parameter}, which cannot be read (${String(code)})`,
      )
    }
  }
  const ca = file('sslrootcert', tls.rootCertificate)
  const cert = file('sslcert', tls.certificate)
  const key = file('sslkey', tls.key)
  return {
    rejectUnauthorized: mode !== 'require',
    // Verified against the name that was asked for; the driver names no address.
    host,
    ...(isIP(host) === 0 && { servername: host }),
    ...(mode === 'verify-ca' && { checkServerIdentity: () => undefined }),
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
  }
}
