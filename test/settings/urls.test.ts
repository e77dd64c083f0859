// DATABASE_URL and REDIS_URL: each parameter is honoured or refused by name, and nothing that is said quotes a secret.
import { describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { driverOptions } from '../../src/db/address.ts'
import { readDatabaseUrl } from '../../src/settings/database-url.ts'
import { readRedisUrl } from '../../src/settings/redis-url.ts'

const database = (search: string) => readDatabaseUrl(`postgres://me:s3cret-word@db.example/tide?${search}`)
const usual = { applicationName: 'tasktide server', connectTimeoutMs: 2_000 }
const certificate = join(import.meta.dir, '..', 'data', 'tls', 'certificate.pem')

describe('DATABASE_URL', () => {
  test.each([
    ['channel_binding=require', 'sslmode=verify-full'],
    ['schema=tenant', 'only the schema public'],
    ['search_path=tenant,public', 'only the schema public'],
    ['pgbouncer=true', 'session'],
    ['connection_limit=5', 'DATABASE_POOL'],
    ['pool_timeout=5', 'deadline'],
    ['sslmode=no-verify', 'verify-full'],
    ['ssl=true', 'sslmode'],
    ['sslpassword=s3cret-word', 'without a password'],
    ['target_session_attrs=standby', 'primary'],
    ['connect_timeout=0', 'whole seconds'],
    ['client_encoding=LATIN1', 'UTF8'],
    ['host=a,b', 'one host'],
    ['port=99999', '65535'],
    ['keepalives_idle=30', 'leave it out'],
    ['statement_timeout=1', 'leave it out'],
  ])('refuses %s by name, with the reason', (parameter, reason) => {
    const { problems } = database(parameter)
    expect(problems).toEqual([expect.stringContaining(`parameter ${parameter.split('=')[0]} `)])
    expect(problems[0]).toContain(reason)
    expect(problems[0]).not.toContain('s3cret-word')
  })

  test.each([
    'channel_binding=prefer',
    'schema=public',
    'pgbouncer=false',
    'target_session_attrs=read-write',
    'gssencmode=disable',
    'client_encoding=UTF8',
  ])('accepts %s, which changes nothing', (parameter) => {
    const { address, problems } = database(parameter)
    expect({ problems, options: driverOptions(address, usual) }).toEqual({
      problems: [],
      options: driverOptions(database('').address, usual),
    })
  })

  test('gives the driver what the parameters say', () => {
    const { address, problems } = database(
      'connect_timeout=7&application_name=mine&options=-c%20work_mem%3D8MB&port=6000',
    )
    expect(problems).toEqual([])
    expect(driverOptions(address, usual)).toEqual({
      host: 'db.example',
      port: 6000,
      database: 'tide',
      user: 'me',
      pass: 's3cret-word',
      ssl: false,
      connect_timeout: 7,
      connection: { application_name: 'mine server', TimeZone: 'UTC', options: '-c work_mem=8MB' },
    })
  })

  test.each([
    ['disable', false],
    ['prefer', 'prefer'],
    ['require', { rejectUnauthorized: false, host: 'db.example', servername: 'db.example' }],
    ['verify-full', { rejectUnauthorized: true, host: 'db.example', servername: 'db.example' }],
  ] as const)('reads sslmode=%s as libpq does', (mode, ssl) => {
    expect(driverOptions(database(`sslmode=${mode}`).address, usual).ssl).toEqual(ssl)
  })

  test('a root certificate is read, and there to be verified against', async () => {
    const { address } = database(`sslmode=require&sslrootcert=${certificate}`)
    expect(address.tls.mode).toBe('verify-ca')
    expect(driverOptions(address, usual).ssl).toMatchObject({
      rejectUnauthorized: true,
      ca: await Bun.file(certificate).text(),
    })
    expect(database('sslrootcert=system').address.tls.mode).toBe('verify-full')
    expect(database('sslmode=require&sslcert=/a').problems).toEqual([expect.stringContaining('sslkey')])
  })

  test('decodes what was percent-encoded, and IPv6 hosts', () => {
    expect(readDatabaseUrl('postgres://a%40b:c%23%25%2F@[::1]:6000/d%20e')).toMatchObject({
      problems: [],
      address: { user: 'a@b', password: 'c#%/', host: '::1', port: 6000, database: 'd e' },
    })
  })

  test('needs the name of a database', () => {
    expect(readDatabaseUrl('postgres://me@db.example').problems).toEqual([
      expect.stringContaining('names no database'),
    ])
  })
})

describe('any URL', () => {
  test.each([
    ['postgres://me:s3cret%-word@h/d', '%25'],
    ['postgres://me:s3cret%zz-word@h/d', '%25'],
    ['postgres://me:s3cret%E4-word@h/d', '%25'],
    ['postgres://me:s3cret#-word@h/d', '%23'],
    ['postgres://me:s3cret/-word@h/d', 'percent-encode'],
    ['s3cret-word', 'must be a URL starting with'],
  ])('%s: the sentence says how it is written', (url, cure) => {
    for (const { problems } of [readDatabaseUrl(url), readRedisUrl(url.replace('postgres:', 'redis:'))]) {
      expect(problems).toEqual([expect.stringContaining(cure)])
      expect(problems[0]).not.toContain('s3cret')
    }
  })
})

describe('REDIS_URL', () => {
  test('is read with its parts decoded', () => {
    expect(readRedisUrl('rediss://me:a%40b@[::1]:7000/3?family=6')).toEqual({
      problems: [],
      address: {
        host: '::1',
        port: 7000,
        username: 'me',
        password: 'a@b',
        database: 3,
        family: 6,
        tls: true,
      },
    })
    expect(readRedisUrl('redis://cache')).toMatchObject({
      problems: [],
      address: { host: 'cache', port: 6379, password: null, database: 0, family: 0, tls: false },
    })
  })

  test.each(['commandTimeout=0', 'family=5', 'password=s3cret-word', 'tls=true'])(
    'refuses %s by name',
    (search) => {
      const { problems } = readRedisUrl(`redis://cache?${search}`)
      expect(problems).toEqual([expect.stringContaining(`parameter ${search.split('=')[0]} `)])
      expect(problems[0]).not.toContain('s3cret-word')
    },
  )

  test('refuses a database that is no number', () => {
    expect(readRedisUrl('redis://cache/tasks').problems).toEqual([expect.stringContaining('no number')])
  })
})
