// The address a request came from, as limits, sessions and logs count it: one spelling for each address, no port.
import { isIP } from 'node:net'

/** Far longer than any list a chain of proxies makes; what is beyond is not read. */
const maxEntries = 32

/**
 * The peer, or what the given number of trusted proxies says of it. An entry that is no address, such as `unknown`,
 * says nothing: then the peer's own address counts.
 * @param forwardedFor the X-Forwarded-For header: the client first, then each proxy that passed the request on.
 */
export const clientAddress = (forwardedFor: string | null, peer: string, trustedProxies: number): string => {
  const entry = trustedProxies > 0 && forwardedFor ? trustedEntry(forwardedFor, trustedProxies) : ''
  return parseAddress(entry) ?? parseAddress(peer) ?? peer
}

/** The entry that the outermost trusted proxy added, or the first where there are fewer entries than proxies. */
const trustedEntry = (forwardedFor: string, trustedProxies: number): string => {
  let end = forwardedFor.length
  for (let hop = 1; hop < Math.min(trustedProxies, maxEntries); hop += 1) {
    const comma = forwardedFor.lastIndexOf(',', end - 1)
    if (comma <= 0) break
    end = comma
  }
  return forwardedFor.slice(forwardedFor.lastIndexOf(',', end - 1) + 1, end).trim()
}

/** An address without port and brackets, IPv4 in IPv6 as IPv4; null for what is none. */
const parseAddress = (text: string): string | null => {
  const bare = /^\[([^\]]+)\](?::\d{1,5})?$/.exec(text)?.[1] ?? /^([\d.]+):\d{1,5}$/.exec(text)?.[1] ?? text
  const version = isIP(bare)
  if (version !== 6) return version === 4 ? bare : null
  return bare.replace(/^::ffff:(?=\d+\.)/i, '')
}
