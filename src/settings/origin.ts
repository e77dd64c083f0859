// Checks the spelling of origins in settings: exactly as browsers send them, so that comparing texts is enough.

/** Why a text is no origin as browsers send it in `Origin`, or null. Apps in web views have schemes of their own. */
export const originFault = (text: string): string | null => {
  if (text.includes('*')) return 'has a wildcard: list each origin'
  if (text === 'null') return 'is what pages without an origin send: it would allow every one of them'
  const [, scheme, rest] = /^([a-z][a-z0-9+.-]*):\/\/(.*)$/i.exec(text) ?? []
  if (scheme === undefined || rest === undefined)
    return 'has no scheme: write it as https://tasks.example.com or capacitor://localhost'
  if (/^(file|data|blob|javascript|about|wss?|ftp)$/i.test(scheme))
    return `has the scheme ${scheme}, which no page sends in Origin`
  if (rest.includes('@')) return 'has credentials'
  if (/[/?#\\]/.test(rest)) return 'has more than scheme, host and port: leave out the path'
  if (text !== text.toLowerCase()) return `has capitals: write ${text.toLowerCase()}`
  if (!/^(\[[0-9a-f:.]+\]|[\w.-]+)(:\d{1,5})?$/.test(rest)) return 'has no valid host and port'
  const canonical = /^https?$/.test(scheme) ? (URL.parse(text)?.origin ?? null) : text
  if (canonical === null) return 'has no valid host and port'
  return canonical === text ? null : `browsers write as ${canonical}`
}
