// Sentences for what a test cannot bring about on every machine: a full disk, a privileged port, Redis while it loads.
import { expect, test } from 'bun:test'
import { AppError } from '../../src/errors.ts'
import { fileFailure, listenFailure } from '../../src/start/failure.ts'
import { postgresFailure } from '../../src/start/postgres.ts'
import { redisAnswer } from '../../src/start/redis.ts'
import { startFailureOf } from '../../src/start/report.ts'

const coded = (code: string): Error => Object.assign(new Error(`${code}: s3cret-word`), { code })

test.each([
  ['LOADING Redis is loading the dataset in memory', 69, 'still loading'],
  ['MISCONF Redis is configured to save RDB snapshots, but it is currently unable to', 69, 'disk'],
  ['NOPERM User x has no permissions to run the info command', 78, 'ACL SETUSER'],
  ['DENIED Redis is running in protected mode', 78, 'requirepass'],
  ['ERR max number of clients reached', 69, 'maxclients'],
  ['ERR invalid password', 78, 'password'],
  ['MOVED 3999 192.0.2.1:6381', 78, 'without cluster mode'],
  ['CLUSTERDOWN Hash slot not served', 78, 'without cluster mode'],
  ['ERR SELECT is not allowed in cluster mode', 78, 'without cluster mode'],
])('Redis: %s', (message, exitCode, words) => {
  const failure = redisAnswer(new Error(message))!
  expect<number>(failure.exitCode).toBe(exitCode)
  expect(failure.message).toContain(words)
})

test.each([
  ['53100', 69, 'disk'],
  ['57P03', 69, 'starting'],
  ['28000', 78, 'pg_hba.conf'],
  ['25006', 78, 'primary'],
  ['42704', 78, 'options'],
  ['EAI_AGAIN', 69, 'name server'],
  ['EHOSTUNREACH', 69, 'firewalls'],
  ['CERT_HAS_EXPIRED', 78, 'renew'],
  ['ERR_TLS_CERT_ALTNAME_INVALID', 78, 'another name'],
])('PostgreSQL: %s', (code, exitCode, words) => {
  const place = { host: 'db', port: 5432, database: 'tide', user: 'me' }
  const failure = postgresFailure(coded(code), place)!
  expect<number>(failure.exitCode).toBe(exitCode)
  expect(failure.message).toContain(words)
  expect(failure.message).toStartWith('DATABASE_URL')
  expect(failure.message).not.toContain('s3cret-word')
})

test('a privileged port and folders that cannot be written name their setting', () => {
  expect(listenFailure(coded('EACCES'), { setting: 'PORT', host: '::', port: 80 }).message).toBe(
    'PORT is 80, and this user may not listen below 1024: set PORT to 1024 or above',
  )
  expect(fileFailure(coded('ENOSPC'), 'TIDE_DATA', '/data')).toMatchObject({
    exitCode: 69,
    message: 'The disk of /data (TIDE_DATA) is full: free space, or set another folder',
  })
  for (const code of ['EACCES', 'EROFS', 'ENOTDIR'])
    expect(fileFailure(coded(code), 'TIDE_DATA', '/data')).toMatchObject({
      exitCode: 78,
      message: expect.stringContaining('TIDE_DATA is /data'),
    })
  expect(fileFailure(coded('EMFILE'), 'TIDE_DATA', '/data')).toBeNull()
})

test('an error without a sentence of its own shows its message, without credentials, and exits with 1', () => {
  expect(startFailureOf(new Error('odd: redis://:s3cret-word@cache'))).toMatchObject({
    exitCode: 1,
    message: 'odd: redis://[redacted]@cache',
  })
  const away = new AppError('unavailable', undefined, { cause: new Error('no answer') })
  expect(startFailureOf(away)).toMatchObject({ exitCode: 69, message: expect.stringContaining('no answer') })
})
