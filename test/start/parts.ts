// Real parts that are set up wrongly, for the tests of starts: the addresses a person could have written into the
// settings, each opened once and disposed with the rest.
import { createServer as createTlsServer } from 'node:tls'
import { connect, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import postgres from 'postgres'
import { startPostgres } from '../../dev/postgres.ts'
import { testDatabase } from '../support/environment.ts'

export const tlsFolder = join(import.meta.dir, '..', 'data', 'tls')

export const withSql = async <T>(url: string, work: (sql: postgres.Sql) => PromiseLike<T>): Promise<T> => {
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  try {
    return await work(sql)
  } finally {
    await sql.end({ timeout: 1 })
  }
}

/** The URL with some of its parts replaced. */
export const changed = (
  text: string,
  parts: Partial<Record<'host' | 'username' | 'password' | 'pathname' | 'search', string>>,
): string => {
  const url = Object.assign(new URL(text), parts)
  return url.href
}

/** A database of the test server in another encoding. */
export const asciiDatabase = async (stack: AsyncDisposableStack): Promise<string> => {
  const { url } = stack.use(await testDatabase({ empty: true }))
  const name = `ascii_${crypto.randomUUID().replaceAll('-', '')}`
  await withSql(
    url,
    (sql) =>
      sql`create database ${sql(name)} encoding 'SQL_ASCII' locale 'C' locale_provider 'libc' template template0`,
  )
  stack.defer(async () => {
    await withSql(url, (sql) => sql`drop database if exists ${sql(name)} with (force)`)
  })
  return changed(url, { pathname: `/${name}` })
}

/** A role with a password on the test server. */
export const newRole = async (stack: AsyncDisposableStack, url: string): Promise<string> => {
  const role = `role_${crypto.randomUUID().replaceAll('-', '')}`
  await withSql(url, (sql) => sql`create role ${sql(role)} login password 'pw'`)
  stack.defer(async () => {
    await withSql(url, async (sql) => {
      await sql`drop owned by ${sql(role)} cascade`
      await sql`drop role ${sql(role)}`
    })
  })
  return role
}

const linesOf = (text: string): { line: string }[] =>
  text
    .trim()
    .split('\n')
    .map((line) => ({ line }))

/** A PostgreSQL that offers TLS, with a certificate of no known authority. */
export const tlsPostgres = async (stack: AsyncDisposableStack): Promise<string> => {
  const dataDir = await mkdtemp(join(tmpdir(), 'tide-tls-'))
  stack.defer(() => rm(dataDir, { recursive: true, force: true }))
  const server = stack.use(await startPostgres({ dataDir, durable: false }))
  const read = (name: string) => Bun.file(join(tlsFolder, name)).text()
  const [certificate, key] = await Promise.all([read('certificate.pem'), read('key.pem')])
  await withSql(server.url, async (sql) => {
    await sql`create temp table pem (line text)`
    await sql`insert into pem ${sql(linesOf(certificate))}`
    await sql`copy pem to program 'umask 077; cat > server.crt'`
    await sql`truncate pem`
    await sql`insert into pem ${sql(linesOf(key))}`
    await sql`copy pem to program 'umask 077; cat > server.key'`
    await sql`alter system set ssl = on`
    await sql`select pg_reload_conf()`
  })
  return server.url
}

/** TLS in front of a Redis, with a certificate of no known authority. */
export const tlsRedis = async (stack: AsyncDisposableStack, url: string): Promise<string> => {
  const target = new URL(url)
  const read = (name: string) => Bun.file(join(tlsFolder, name)).text()
  const [cert, key] = await Promise.all([read('certificate.pem'), read('key.pem')])
  const listener = createTlsServer({ cert, key }, (client) => {
    const server = connect(Number(target.port), target.hostname)
    client.on('error', () => server.destroy()).on('close', () => server.destroy())
    server.on('error', () => client.destroy())
    client.pipe(server).pipe(client)
  })
  listener.on('tlsClientError', () => {})
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  stack.defer(() => void listener.close())
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a TCP listener has an address
  const { port } = listener.address() as AddressInfo
  return url.replace('redis://', 'rediss://').replace(/:\d+$/, `:${port}`)
}
