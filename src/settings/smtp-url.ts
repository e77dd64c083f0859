// Parses SMTP_URL and MAIL_FROM. Invariant: problems never quote a value, which may hold a password.
import { decoded, hostOf, readUrl } from './url.ts'

export interface SmtpAddress {
  host: string
  port: number
  username: string | null
  password: string | null
  /**
   * `implicit`: TLS from the first byte. `required`: STARTTLS, or no mail. `offered`: STARTTLS where the server offers
   * it, without checking its certificate. `off`: plain text.
   */
  tls: 'implicit' | 'required' | 'offered' | 'off'
}

const loopback = /^(?:localhost|127(?:\.\d{1,3}){3}|::1)$/

/** @returns an address that is valid only while `problems` is empty. A password crosses a network only inside TLS. */
export const readSmtpUrl = (text: string): { address: SmtpAddress; problems: string[] } => {
  const { url, problems } = readUrl(text, ['smtp:', 'smtps:'])
  const isImplicit = url?.protocol === 'smtps:'
  const host = hostOf(url?.hostname ?? '') || 'localhost'
  const username = decoded(url?.username ?? '')
  const chosen = url?.searchParams.get('tls') ?? null
  const usual = username !== null && !loopback.test(host) ? 'required' : 'offered'
  const address: SmtpAddress = {
    host,
    port: Number(url?.port || (isImplicit ? 465 : 587)),
    username,
    password: decoded(url?.password ?? ''),
    tls: isImplicit ? 'implicit' : chosen === 'required' || chosen === 'off' ? chosen : usual,
  }
  if (url && url.pathname.length > 1) problems.push('has a path: end it after the host and port')
  for (const name of url?.searchParams.keys() ?? []) {
    if (name !== 'tls')
      problems.push(`has a parameter ${name} that is refused: leave it out (supported: tls)`)
  }
  if (chosen !== null && isImplicit)
    problems.push('has a parameter tls, which smtps:// does not need: leave it out')
  else if (chosen !== null && !/^(?:required|off)$/.test(chosen))
    problems.push('has a parameter tls that is refused: write required or off')
  if (username !== null && chosen === 'off' && !loopback.test(host))
    problems.push('sends a password without TLS: leave out tls=off')
  return { address, problems }
}

/** The sender of mails. */
export interface MailSender {
  name: string
  address: string
}

/** `Name <address>` or an address alone; null for anything else. */
export const readMailSender = (text: string): MailSender | null => {
  const match = /^(?:"?([^"<>\p{Cc}]{0,100}?)"?\s*<([^<>]+)>|([^<>\s]+))$/u.exec(text.trim())
  const address = match?.[2] ?? match?.[3] ?? ''
  // Visible ASCII, so that no server needs SMTPUTF8 for the sender.
  if (!/^[!-;=?A-~-]{1,64}@[a-z0-9.-]{1,190}$/i.test(address) || address.split('@').length !== 2) return null
  return { name: (match?.[1] ?? '').trim(), address }
}

/** Why the text is no address that links of mails can begin with; null where it is. */
export const publicUrlFault = (text: string): string | null => {
  const url = URL.parse(text)
  if (!url || !/^https?:$/.test(url.protocol)) return 'must be a URL such as https://tasks.example.com'
  if (url.username || url.password) return 'has credentials'
  if (url.search || url.hash) return 'has a query or fragment: leave it out'
  return url.pathname === '/' ? null : 'has a path: end it after the host and port'
}
