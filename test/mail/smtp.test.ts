// The SMTP driver against a real server: what is sent, what counts as accepted, and how every other end is reported.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import { createServer, type AddressInfo } from 'node:net'
import { freePort } from '../../src/app/free-port.ts'
import { MailFailure, type Mail } from '../../src/mail/mailer.ts'
import { openSmtpMailer, type SmtpTimings } from '../../src/mail/smtp.ts'
import { readSmtpUrl } from '../../src/settings/smtp-url.ts'
import { listenOnLoopback, type LoopbackListener } from '../support/loopback-listener.ts'
import { partOf, startSmtp, type TestSmtp } from '../support/smtp.ts'

const from = { name: 'Tasktide', address: 'tasks@example.com' }

const mail: Mail = {
  id: '019a0000-0000-7000-8000-000000000001',
  to: 'reader@example.org',
  subject: 'Ana assigned “Läuft” to you',
  text: 'Hello\n',
  html: '<p>Hello</p>',
  unsubscribeUrl: 'https://tasks.example.com/api/mail/unsubscribe?token=abc',
}

const send = async (
  url: string,
  over: Partial<Mail> = {},
  timings: Partial<SmtpTimings> = {},
): Promise<void> => {
  const { address, problems } = readSmtpUrl(url)
  expect(problems).toEqual([])
  await using mailer = openSmtpMailer({ address, from, timings })
  await mailer.send({ ...mail, ...over })
}

const failureOf = async (attempt: Promise<void>): Promise<MailFailure> => {
  const error: unknown = await attempt.then(
    () => null,
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(MailFailure)
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- asserted in the line above
  const failure = error as MailFailure
  // A failure is logged and kept with its delivery.
  expect(failure.message).not.toMatch(/@|example|Hello|token|p%40ss|p@ss/)
  return failure
}

let smtp: TestSmtp

beforeAll(async () => {
  smtp = await startSmtp()
})

beforeEach(() => {
  smtp.behaviour = {}
  smtp.received.length = 0
})

afterAll(() => smtp[Symbol.asyncDispose]())

test('A mail arrives with its parts, its Message-ID and the headers of one-click unsubscribe', async () => {
  await send(smtp.url)
  const [received] = smtp.received
  expect(received).toMatchObject({ to: ['reader@example.org'], from: 'tasks@example.com' })
  expect(received!.header('Message-ID')).toBe(`<${mail.id}@example.com>`)
  expect(received!.header('From')).toBe('Tasktide <tasks@example.com>')
  expect(received!.header('To')).toBe('reader@example.org')
  expect(received!.header('List-Unsubscribe')).toBe(`<${mail.unsubscribeUrl}>`)
  expect(received!.header('List-Unsubscribe-Post')).toBe('List-Unsubscribe=One-Click')
  expect(received!.header('Auto-Submitted')).toBe('auto-generated')
  expect(received!.header('Subject')).toMatch(/^=\?UTF-8\?/)
  expect(partOf(received!, 'text/plain').trim()).toBe('Hello')
  expect(partOf(received!, 'text/html').trim()).toBe('<p>Hello</p>')
})

test('A mail about an account has no unsubscribe headers', async () => {
  await send(smtp.url, { unsubscribeUrl: null })
  expect(smtp.received[0]!.header('List-Unsubscribe')).toBeUndefined()
})

test('The same mail sent again has the same Message-ID', async () => {
  await send(smtp.url)
  await send(smtp.url)
  expect(new Set(smtp.received.map((one) => one.header('Message-ID'))).size).toBe(1)
})

describe('Header injection', () => {
  test.each([
    ['a subject', { subject: 'Hi\r\nBcc: victim@example.org\r\n\r\nbody' }],
    ['a recipient', { to: 'reader@example.org\r\nBcc: victim@example.org' }],
    ['a recipient with another one', { to: 'reader@example.org, victim@example.org' }],
    ['a display name in the recipient', { to: '"victim@example.org" <reader@example.org>' }],
    ['an unsubscribe address', { unsubscribeUrl: 'https://x.example/?a>\r\nBcc: victim@example.org' }],
  ] as [string, Partial<Mail>][])('by %s adds no header and no recipient', async (_what, over) => {
    await send(smtp.url, over).catch((error: unknown) => expect(error).toBeInstanceOf(MailFailure))
    for (const received of smtp.received) {
      expect(received.to).toEqual(['reader@example.org'])
      expect(received.header('Bcc')).toBeUndefined()
    }
  })
})

describe('A refusal', () => {
  test.each([
    [550, true],
    [553, true],
    [450, false],
    [421, false],
  ])('of the recipient with %i is permanent: %p', async (code, isPermanent) => {
    smtp.behaviour = { onRecipient: () => code }
    const failure = await failureOf(send(smtp.url))
    expect(failure).toMatchObject({ isPermanent })
    expect(failure.message).toMatch(new RegExp(`(?:RCPT TO|CONN) ${code}`))
  })

  test.each([
    [554, true],
    [552, true],
    [451, false],
  ])('of the message with %i is permanent: %p', async (code, isPermanent) => {
    smtp.behaviour = { onMessage: () => code }
    const failure = await failureOf(send(smtp.url))
    expect(failure).toMatchObject({ isPermanent })
    expect(failure.message).toContain(String(code))
    expect(smtp.received).toEqual([])
  })

  test('of the password concerns the settings, not the mail: it is tried again', async () => {
    const failure = await failureOf(send(`smtp://user:wrong@127.0.0.1:${smtp.port}`))
    expect(failure).toMatchObject({ isPermanent: false })
    expect(failure.message).toContain('535')
  })
})

describe('A connection', () => {
  test('that is refused is a temporary failure', async () => {
    const failure = await failureOf(send(`smtp://127.0.0.1:${freePort()}`))
    expect(failure).toMatchObject({ isPermanent: false })
    expect(failure.message).toContain('ECONNREFUSED')
  })

  test('dropped in the middle of the message is a temporary failure', async () => {
    smtp.behaviour = { dropAfterBytes: 100 }
    expect(await failureOf(send(smtp.url, { text: 'x'.repeat(200_000) }))).toMatchObject({
      isPermanent: false,
    })
    expect(smtp.received).toEqual([])
  })

  test('dropped after the message, before the 250, is a temporary failure although the server kept the mail', async () => {
    smtp.behaviour = { onMessage: () => 'drop' }
    expect(await failureOf(send(smtp.url))).toMatchObject({ isPermanent: false })
    expect(smtp.received.length).toBe(1)
  })
})

/** A server that accepts connections and writes `greeting`, then nothing. */
const silentServer = (greeting: string): Promise<LoopbackListener> =>
  listenOnLoopback(createServer((socket) => void socket.write(greeting)))

describe('A deadline', () => {
  test('ends the wait for a greeting', async () => {
    await using server = await silentServer('')
    const failure = await failureOf(send(`smtp://127.0.0.1:${server.port}`, {}, { silenceMs: 100 }))
    expect(failure.message).toContain('ETIMEDOUT')
  })

  test('ends the wait for an answer', async () => {
    await using server = await silentServer('220 ready\r\n')
    const failure = await failureOf(send(`smtp://127.0.0.1:${server.port}`, {}, { silenceMs: 100 }))
    expect(failure.message).toContain('ETIMEDOUT')
  })

  test('ends a whole that advances by a byte at a time, and closes the connection', async () => {
    const timers: Timer[] = []
    const closed = Promise.withResolvers<void>()
    const server = createServer((socket) => {
      socket.on('error', () => {})
      socket.on('close', () => closed.resolve())
      timers.push(setInterval(() => socket.write('2'), 20))
    })
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a TCP server has an address of this kind
    const { port } = server.address() as AddressInfo
    const failure = await failureOf(send(`smtp://127.0.0.1:${port}`, {}, { silenceMs: 60_000, totalMs: 200 }))
    expect(failure.message).toContain('200 ms')
    await closed.promise
    for (const timer of timers) clearInterval(timer)
    server.close()
  })

  test('of the caller ends the attempt', async () => {
    await using server = await silentServer('')
    await using mailer = openSmtpMailer({
      address: readSmtpUrl(`smtp://127.0.0.1:${server.port}`).address,
      from,
    })
    const stop = new AbortController()
    const attempt = failureOf(mailer.send(mail, stop.signal))
    stop.abort()
    expect((await attempt).message).toContain('EABORT')
  })

  test('of a closing process ends the attempt', async () => {
    await using server = await silentServer('')
    const mailer = openSmtpMailer({ address: readSmtpUrl(`smtp://127.0.0.1:${server.port}`).address, from })
    const attempt = failureOf(mailer.send(mail))
    await mailer[Symbol.asyncDispose]()
    expect((await attempt).message).toContain('EABORT')
  })
})

describe('TLS', () => {
  test('is used where the server offers STARTTLS, also with a certificate of its own', async () => {
    await send(smtp.url)
    expect(smtp.received[0]).toMatchObject({ secure: true })
  })

  test('tls=off sends plain text', async () => {
    await send(`${smtp.url}?tls=off`)
    expect(smtp.received[0]).toMatchObject({ secure: false })
  })

  test('tls=required refuses a server without it, and a certificate that nothing vouches for', async () => {
    await using plain = await startSmtp({ hideSTARTTLS: true })
    expect(await failureOf(send(`${plain.url}?tls=required`))).toMatchObject({ isPermanent: false })
    expect(plain.received).toEqual([])
    expect((await failureOf(send(`${smtp.url}?tls=required`))).message).toMatch(/CERT|ETLS|ESOCKET/)
    expect(smtp.received).toEqual([])
  })

  test('smtps:// checks the certificate', async () => {
    await using secure = await startSmtp({ secure: true })
    await failureOf(send(`smtps://127.0.0.1:${secure.port}`))
    expect(secure.received).toEqual([])
  })

  test('signs in with the user and the password of the URL', async () => {
    await send(`smtp://user:p%40ss%2Fword@127.0.0.1:${smtp.port}`)
    expect(smtp.received[0]).toMatchObject({ user: 'user', secure: true })
  })
})
