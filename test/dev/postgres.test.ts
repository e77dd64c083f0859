// The embedded PostgreSQL comes back from whatever happened to it, on the same port with the same rows, and
// belongs to one process at a time.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { SQL } from 'bun'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startPostgres, type Postgres } from '../../dev/postgres.ts'

const dataDir = mkdtempSync(join(tmpdir(), 'tide-postgres-test-'))
let postgres: Postgres

beforeAll(async () => {
  postgres = await startPostgres({ dataDir, durable: true })
  await ask((sql) => sql`create table kept (n int primary key)`)
}, 60_000)

afterAll(async () => {
  await postgres[Symbol.asyncDispose]()
  rmSync(dataDir, { recursive: true, force: true })
}, 60_000)

const ask = async <T>(work: (sql: SQL) => Promise<T>, url = postgres.url): Promise<T> => {
  const sql = new SQL({ url, max: 1, connectionTimeout: 5 })
  try {
    return await work(sql)
  } finally {
    await sql.close({ timeout: 1 })
  }
}

const insert = (n: number) => ask((sql) => sql`insert into kept values (${n})`)
const kept = () => ask((sql) => sql`select n from kept order by n`.values()).then((rows) => rows.flat())

test('text is UTF-8 and sorts by code point on every platform', async () => {
  const [row] = await ask(
    (sql) =>
      sql`select current_setting('server_encoding') as encoding, 'Z' < 'a' as by_code_point, upper('ä') as upper`,
  )
  expect(row).toEqual({ encoding: 'UTF8', by_code_point: true, upper: 'Ä' })
})

test('rows and the port outlive kill -9, an immediate stop and a restart', async () => {
  const { port, pid } = postgres
  await insert(1)
  await postgres.kill()
  await postgres.start()
  expect(postgres.pid).not.toBe(pid)
  await insert(2)
  await postgres.restart('immediate')
  await insert(3)
  await postgres.restart()
  expect(postgres.port).toBe(port)
  expect(await kept()).toEqual([1, 2, 3])
})

test('a pid file whose number now means another program does not keep it from starting', async () => {
  await postgres.stop('immediate')
  writeFileSync(join(dataDir, 'cluster', 'postmaster.pid'), `${process.pid}\n`)
  await postgres.start()
  expect(await ask((sql) => sql`select 1 as one`)).toHaveLength(1)
})

test('no connection is accepted without the password', async () => {
  const url = new URL(postgres.url)
  url.password = 'guess'
  const failure = await ask((sql) => sql`select 1`, url.href).catch(String)
  expect(failure).toContain('password authentication failed')
})

test('another process is refused the data while this one has it', async () => {
  const script = `
    import { startPostgres } from ${JSON.stringify(join(import.meta.dir, '../../dev/postgres.ts'))}
    await startPostgres({ dataDir: ${JSON.stringify(dataDir)}, durable: true })`
  const other = Bun.spawn([process.execPath, '-e', script], {
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: 20_000,
  })
  const said = await new Response(other.stderr).text()
  expect(await other.exited).not.toBe(0)
  expect(said).toContain(`is in use by process ${process.pid}`)
})
