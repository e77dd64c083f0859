// Parses connection URLs, with problems that name the fix, and writes those of listeners. Invariant: a problem never quotes
// the URL, which holds a password.

export interface ReadUrl {
  /** Null when `problems` is not empty. */
  url: URL | null
  problems: string[]
}

const encodings = '@ is %40, : is %3A, / is %2F, ? is %3F, # is %23, % is %25'

/** @param schemes with their colon. */
export const readUrl = (text: string, schemes: string[]): ReadUrl => {
  const fail = (problem: string): ReadUrl => ({ url: null, problems: [problem] })
  if (!schemes.some((scheme) => text.startsWith(`${scheme}//`)))
    return fail(`must be a URL starting with ${schemes.join(' or ')}//`)
  if (text.includes('#')) return fail('contains an unescaped #: write it as %23')
  if (/%(?![0-9a-f]{2})/i.test(text)) return fail('contains an unescaped %: write it as %25')
  if (!URL.canParse(text))
    return fail(`is not a URL: percent-encode special characters of the user and the password (${encodings})`)
  const url = new URL(text)
  try {
    for (const part of [url.username, url.password, url.pathname, url.hostname]) decodeURIComponent(part)
  } catch {
    return fail('contains a % that begins no UTF-8 character: write a % of the password as %25')
  }
  return { url, problems: [] }
}

/** A part of a URL, percent-decoded; null where it is empty. */
export const decoded = (part: string): string | null => (part === '' ? null : decodeURIComponent(part))

/** Without the brackets of an IPv6 address. */
export const hostOf = (hostname: string): string => decodeURIComponent(hostname).replace(/^\[(.*)\]$/, '$1')

/** @param host without brackets. */
export const httpUrl = (host: string, port: number): string =>
  `http://${host.includes(':') ? `[${host}]` : host}:${port}`
