// Mails by SMTP, one connection each. Invariant: every step has a deadline, the whole has one, and each of them closes
// the connection.
//
// A pool of connections would save two round trips a mail, and sends a mail again by itself when its connection ends:
// a repeat that no delivery knows of.
import type { NodemailerError } from 'nodemailer'
import { OnFirstUse } from '../async/on-first-use.ts'
import { Deadline, withTimeout } from '../async/timeout.ts'
import type { MailSender, SmtpAddress } from '../settings/smtp-url.ts'
import { networkTrouble, temporaryTrouble, wrongSetting, type Trouble } from '../start/trouble.ts'
import { MailFailure, MailHealth, type Mailer } from './mailer.ts'
import { messageOf } from './message.ts'

export interface SmtpTimings {
  /** Name lookup, TCP and TLS, each. */
  connectMs: number
  /** Without a byte from the server, in any later step. */
  silenceMs: number
  /** From the start to the 250. */
  totalMs: number
}

const usualTimings: SmtpTimings = { connectMs: 5_000, silenceMs: 15_000, totalMs: 30_000 }

export interface SmtpOptions {
  address: SmtpAddress
  from: MailSender
  timings?: Partial<SmtpTimings>
}

const openTransport = async (address: SmtpAddress, { connectMs, silenceMs }: SmtpTimings) => {
  const { host, port, username, password, tls } = address
  const { createTransport } = await import('nodemailer')
  return createTransport({
    host,
    port,
    secure: tls === 'implicit',
    requireTLS: tls === 'required',
    ignoreTLS: tls === 'off',
    // Opportunistic TLS protects against eavesdroppers only, so an unverified certificate does not weaken it.
    ...(tls === 'offered' && { opportunisticTLS: true, tls: { rejectUnauthorized: false } }),
    ...(username !== null && { auth: { user: username, pass: password ?? '' } }),
    dnsTimeout: connectMs,
    connectionTimeout: connectMs,
    greetingTimeout: silenceMs,
    socketTimeout: silenceMs,
    socketCloseTimeout: 0,
    maxResponseSize: 64 * 1024,
  })
}

export const openSmtpMailer = ({ address, from, timings: over }: SmtpOptions): Mailer => {
  const { host, port } = address
  const timings = { ...usualTimings, ...over }
  const { totalMs } = timings
  const closing = new AbortController()
  const transport = new OnFirstUse(() => openTransport(address, timings))

  const health = new MailHealth(async () => {
    try {
      await withTimeout(totalMs, 'checking the mail server', (await transport.get()).verify())
      return null
    } catch (error) {
      return (
        troubleOf(error) ?? temporaryTrouble(`SMTP_URL: the mail server cannot be used (${describe(error)})`)
      )
    }
  })
  return {
    destination: `${host}:${port}`,
    health,
    async send(mail, signal) {
      const late = new AbortController()
      const lateness = new MailFailure(`SMTP: not accepted within ${totalMs} ms`, false)
      using deadline = new Deadline(totalMs, () => {
        late.abort() // closes the connection
        return lateness
      })
      const opened = await transport.get()
      const ends = [late.signal, closing.signal, ...(signal ? [signal] : [])]
      try {
        await deadline.race(opened.sendMail({ ...messageOf(mail, from), signal: AbortSignal.any(ends) }))
        health.note(null)
      } catch (error) {
        if (late.signal.aborted) throw lateness
        const trouble = troubleOf(error)
        if (trouble !== null) health.note(trouble)
        throw error instanceof MailFailure ? error : failureOf(error)
      }
    },
    [Symbol.asyncDispose]: async () => {
      closing.abort()
      const opened = await transport.made
      opened?.close()
    },
  }
}

/** Steps in which a 5xx concerns the mail; in others (greeting, sign-in, sender) it concerns the settings. */
const aboutMail = /^(?:RCPT TO|DATA)/

interface Reply {
  step: string
  /** Of the reply; undefined where there was none. */
  reply: number | undefined
  code: string
  timeoutType: string | undefined
  isPermanent: boolean
}

/** Replies quote addresses: only the step, the code of nodemailer and that of the reply are kept. */
const replyIn = (error: unknown): Reply => {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- every field is optional, and checked here
  const { code, originalCode, command, responseCode, permanent, timeoutType } = error as NodemailerError
  const step = typeof command === 'string' ? (/^[A-Z]+(?: (?:TO|FROM))?/.exec(command)?.[0] ?? '') : ''
  const cause = originalCode ?? code ?? ''
  return { step, reply: responseCode, code: cause, timeoutType, isPermanent: permanent === true }
}

const describe = (error: unknown): string => {
  const { step, reply, code, timeoutType } = replyIn(error)
  return `SMTP: ${[step, reply, code, timeoutType].filter(Boolean).map(String).join(' ') || 'unknown error'}`
}

/** What a setting explains; null for what is about the mail or passes by itself. */
const troubleOf = (error: unknown): Trouble | null => {
  const { step, reply = 0, code } = replyIn(error)
  if (step === 'AUTH' && reply >= 500)
    return wrongSetting('SMTP_URL: the mail server refuses the user or the password: correct them')
  if (reply === 530 || code === 'ENOAUTH')
    return wrongSetting(
      'SMTP_URL: the mail server asks for a user and a password: put them into the URL (smtp://user:password@host)',
    )
  if (step === 'MAIL FROM' && reply >= 500)
    return wrongSetting('MAIL_FROM: the mail server refuses the sender: name an address that it may send for')
  return networkTrouble(code, 'SMTP_URL', 'the mail server')
}

const failureOf = (error: unknown): MailFailure => {
  const { step, isPermanent } = replyIn(error)
  const trouble = troubleOf(error)
  const text = describe(error)
  return new MailFailure(
    trouble === null ? text : `${trouble.text} (${text})`,
    isPermanent && aboutMail.test(step),
  )
}
