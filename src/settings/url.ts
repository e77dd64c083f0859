// Parses the connection URLs of PostgreSQL and Redis, and checks those of HTTP services, with problems that name the fix.
// Invariant: a problem never quotes the URL, which may hold a password.

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

/**
 * Of an address to which HTTP requests go: scheme, host and port, and perhaps a path.
 * @param credentials the settings that credentials belong into.
 */
export const httpUrlProblems = (text: string, credentials: string): string[] => {
  const { url, problems } = readUrl(text, ['http:', 'https:'])
  if (!url) return problems
  if (url.username !== '' || url.password !== '') return [`contains credentials: ${credentials} instead`]
  return url.search === '' ? [] : ['has parameters: leave them out']
}
