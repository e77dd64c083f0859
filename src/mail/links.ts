// The addresses that mails link to. They are routes of the server, so that links work without a front end.
import type { Config } from '../config.ts'
import { httpUrl } from '../start/http-url.ts'

export type LinkConfig = Pick<Config, 'publicUrl' | 'host' | 'port'>

/** Where people reach the server; without PUBLIC_URL where it listens, seen from the own machine. */
export const publicUrlOf = ({ publicUrl, host, port }: LinkConfig): string => publicUrl ?? httpUrl(host, port)

export const unsubscribePath = '/api/mail/unsubscribe'

/** The token is in the query, because a mail provider posts to the address (RFC 8058). */
export const unsubscribeUrl = (config: LinkConfig, token: string): string =>
  `${publicUrlOf(config)}${unsubscribePath}?token=${token}`

/** Pages that confirm by a script; the token is in the fragment, which no browser sends to a server. */
export const pagePaths = {
  verification: '/api/pages/verify-email',
  password_reset: '/api/pages/reset-password',
  invitation: '/api/pages/accept-invitation',
} as const

export const pageUrl = (config: LinkConfig, page: keyof typeof pagePaths, token: string): string =>
  `${publicUrlOf(config)}${pagePaths[page]}#token=${token}`
