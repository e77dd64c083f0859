// SMTP_URL, MAIL_FROM and PUBLIC_URL: each part is honoured or refused by name, and no problem quotes a secret.
import { describe, expect, test } from 'bun:test'
import { ConfigError, readConfig } from '../../src/config.ts'
import { publicUrlFault, readMailSender, readSmtpUrl } from '../../src/settings/smtp-url.ts'

describe('SMTP_URL', () => {
  test.each([
    ['smtp://mail.example.com', { host: 'mail.example.com', port: 587, username: null, tls: 'offered' }],
    ['smtps://mail.example.com', { port: 465, tls: 'implicit' }],
    [
      'smtp://me:p%40ss%2Fword@mail.example.com:2525',
      { port: 2525, username: 'me', password: 'p@ss/word', tls: 'required' },
    ],
    ['smtp://me:secret@localhost:1025', { tls: 'offered' }],
    ['smtp://me:secret@[::1]:1025?tls=off', { host: '::1', tls: 'off' }],
    ['smtp://mail.example.com?tls=required', { tls: 'required' }],
    ['smtp://mail.example.com?tls=off', { tls: 'off' }],
  ])('%s', (text, address) => {
    const read = readSmtpUrl(text)
    expect(read.problems).toEqual([])
    expect(read.address).toMatchObject(address)
  })

  test.each([
    ['mail.example.com:587', 'smtps:'],
    ['http://mail.example.com', 'smtps:'],
    ['smtp://me:s3cret-word@mail.example.com?tls=off', 'without TLS'],
    ['smtp://mail.example.com?tls=maybe', 'tls'],
    ['smtps://mail.example.com?tls=off', 'leave it out'],
    ['smtp://mail.example.com?pool=true', 'pool'],
    ['smtp://mail.example.com/path', 'path'],
    ['smtp://me:s3cret#word@mail.example.com', '%23'],
    ['smtp://me:s3cret%word@mail.example.com', '%25'],
  ])('%s is refused', (text, reason) => {
    const { problems } = readSmtpUrl(text)
    expect(problems.join('\n')).toContain(reason)
    expect(problems.join('\n')).not.toMatch(/s3cret/)
  })
})

describe('MAIL_FROM', () => {
  test.each([
    ['tasks@example.com', { name: '', address: 'tasks@example.com' }],
    ['Tasktide <tasks@example.com>', { name: 'Tasktide', address: 'tasks@example.com' }],
    ['"Tasks, Inc." <tasks@example.com>', { name: 'Tasks, Inc.', address: 'tasks@example.com' }],
    ['<tasks@localhost>', { name: '', address: 'tasks@localhost' }],
  ])('%s', (text, sender) => {
    expect(readMailSender(text)).toEqual(sender)
  })

  test.each([
    'tasks',
    'a@b@c',
    'Tasktide tasks@example.com',
    'a@example.com, b@example.com',
    'x <a@b>\r\nBcc: c@d',
    'ä@example.com',
  ])('%p is refused', (text) => {
    expect(readMailSender(text)).toBeNull()
  })
})

describe('PUBLIC_URL', () => {
  test.each(['https://tasks.example.com', 'http://localhost:3000', 'https://tasks.example.com/'])(
    '%s',
    (text) => {
      expect(publicUrlFault(text)).toBeNull()
    },
  )

  test.each([
    'tasks.example.com',
    'ftp://x.example',
    'https://me@x.example',
    'https://x.example/app',
    'https://x.example?a',
    'javascript:alert(1)',
  ])('%s is refused', (text) => {
    expect(publicUrlFault(text)).not.toBeNull()
  })
})

const needed = {
  DATABASE_URL: 'postgres://tide@db.example/tasktide',
  REDIS_URL: 'redis://redis.example',
  JWT_SECRETS: 'k1:3f9a1c5e7b2d4f6081a3c5e7f9b1d3f5',
}

test('Production with a mail server needs the address of links and the sender', () => {
  const environment = { ...needed, TIDE_ENV: 'production', SMTP_URL: 'smtp://mail.example.com' }
  expect(() => readConfig(environment)).toThrow(ConfigError)
  expect(() => readConfig(environment)).toThrow(/PUBLIC_URL is missing[^]*MAIL_FROM is missing/)
  const complete = {
    ...environment,
    PUBLIC_URL: 'https://tasks.example.com/',
    MAIL_FROM: 'tasks@example.com',
  }
  expect(readConfig(complete)).toMatchObject({
    publicUrl: 'https://tasks.example.com',
    mailFrom: 'tasks@example.com',
  })
})

test('Without settings mails are files, and links lead to this machine', () => {
  expect(readConfig(needed)).toMatchObject({
    smtpUrl: null,
    publicUrl: null,
    mailFrom: 'Tasktide <tasktide@localhost>',
  })
})
