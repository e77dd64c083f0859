// Parses DATABASE_URL completely: every parameter is honoured or refused by name. The driver sends unknown parameters to
// the server, which ends the session; so the driver receives the parsed address and never the URL.
import { decoded, hostOf, readUrl } from './url.ts'

export const tlsModes = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const

export interface DatabaseAddress {
  /** Host name, or the folder of the unix socket. */
  host: string
  port: number
  database: string
  /** Null: the driver takes that of the operating system. */
  user: string | null
  password: string | null
  /** As libpq reads `sslmode`; the files are paths, `system` are the certificates that the runtime trusts. */
  tls: {
    mode: (typeof tlsModes)[number]
    rootCertificate: string | null
    certificate: string | null
    key: string | null
  }
  connectTimeoutSeconds: number | null
  applicationName: string | null
  /** Command-line options of the session, such as `-c work_mem=8MB`. */
  options: string | null
}

interface Reading {
  address: DatabaseAddress
  problems: string[]
}

/** Reads one parameter into the address; returns why it is refused. */
type Read = (value: string, address: DatabaseAddress) => string | undefined

const schemes = ['postgres:', 'postgresql:']
const emptyHost = /^(postgres(?:ql)?:\/\/(?:[^@/?]*@)?)(?=\/)/
const usualPort = 5432
const maxConnectTimeoutSeconds = 60

const only =
  (accepted: string[], reason: string): Read =>
  (value) =>
    accepted.includes(value.toLowerCase()) ? undefined : reason

const refused = (reason: string): Read => only([], reason)

const inPublic = only(['public'], 'only the schema public is used: give Tasktide a database of its own')

const parameters: Record<string, Read> = {
  host: (value, address) => {
    address.host = value
    return value.includes(',') ? 'one host only' : undefined
  },
  port: (value, address) => {
    address.port = Number(value)
    const isPort = /^\d{1,5}$/.test(value) && address.port > 0 && address.port < 65_536
    return isPort ? undefined : 'a port from 1 to 65535'
  },
  sslmode: (value, address) => {
    const mode = tlsModes.find((candidate) => candidate === value)
    if (mode) address.tls.mode = mode
    return mode ? undefined : `one of ${tlsModes.join(', ')}`
  },
  sslrootcert: (value, { tls }) => void (tls.rootCertificate = value),
  sslcert: (value, { tls }) => void (tls.certificate = value),
  sslkey: (value, { tls }) => void (tls.key = value),
  connect_timeout: (value, address) => {
    address.connectTimeoutSeconds = Number(value)
    const isTime = /^\d{1,2}$/.test(value) && Number(value) > 0 && Number(value) <= maxConnectTimeoutSeconds
    return isTime ? undefined : `whole seconds from 1 to ${maxConnectTimeoutSeconds}`
  },
  application_name: (value, address) => void (address.applicationName = value),
  options: (value, address) => void (address.options = value),
  target_session_attrs: only(
    ['any', 'primary', 'read-write'],
    'writes need the primary: leave it out, or say read-write',
  ),
  channel_binding: only(
    ['disable', 'prefer'],
    'the driver cannot bind a password to its TLS connection: leave it out and set sslmode=verify-full',
  ),
  client_encoding: only(['utf8', 'utf-8', 'auto'], 'only UTF8'),
  gssencmode: only(['disable', 'prefer'], 'GSSAPI is not supported: leave it out'),
  schema: inPublic,
  search_path: inPublic,
  pgbouncer: only(
    ['false'],
    'workers keep locks of a session: name PostgreSQL itself, or a pool in session mode, and leave it out',
  ),
  connection_limit: refused('leave it out and set DATABASE_POOL'),
  pool_timeout: refused('leave it out: every call has its own deadline'),
  ssl: refused('leave it out and set sslmode=require or sslmode=verify-full'),
  sslpassword: refused('give a key without a password'),
}

const unknown = `leave it out (supported: ${Object.keys(parameters)
  .filter((name) => !/^(?:schema|pgbouncer|connection_limit|pool_timeout|ssl|sslpassword)$/.test(name))
  .join(', ')})`

/** @returns an address that is valid only while `problems` is empty. Problems never quote a secret. */
export const readDatabaseUrl = (text: string): Reading => {
  const { url, problems } = readUrl(text.replace(emptyHost, '$1localhost'), schemes)
  const address: DatabaseAddress = {
    host: url ? hostOf(url.hostname) : '',
    port: Number(url?.port || usualPort),
    database: decoded(url?.pathname.slice(1) ?? '') ?? '',
    user: decoded(url?.username ?? ''),
    password: decoded(url?.password ?? ''),
    tls: { mode: 'disable', rootCertificate: null, certificate: null, key: null },
    connectTimeoutSeconds: null,
    applicationName: null,
    options: null,
  }
  if (!url) return { address, problems }
  if (address.database === '') problems.push('names no database: end it with /tasktide, for example')
  for (const [name, value] of url.searchParams) {
    const reason = (parameters[name] ?? refused(unknown))(value, address)
    if (reason !== undefined) problems.push(`has a parameter ${name} that is refused: ${reason}`)
  }
  const { tls } = address
  if ((tls.certificate === null) !== (tls.key === null))
    problems.push('needs both sslcert and sslkey, or neither')
  // As libpq does: a root certificate is there to be verified against.
  if (tls.rootCertificate === 'system') tls.mode = 'verify-full'
  else if (tls.rootCertificate !== null && tls.mode === 'require') tls.mode = 'verify-ca'
  return { address, problems }
}
