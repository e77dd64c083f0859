// The client address of a request, as limits, sessions and logs use it: one spelling for each address, without a port.
import { isIP } from 'node:net'

/** More entries than any chain of proxies adds; further entries are not read. */
const maxEntries = 32

/**
 * The peer's address, or the entry of the outermost trusted proxy. An entry that is no address, such as `unknown`, is
 * ignored: then the peer's address counts.
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

/** An address without port and brackets, IPv4 in IPv6 as IPv4; null for text that is no address. */
const parseAddress = (text: string): string | null => {
  const bare = /^\[([^\]]+)\](?::\d{1,5})?$/.exec(text)?.[1] ?? /^([\d.]+):\d{1,5}$/.exec(text)?.[1] ?? text
  const version = isIP(bare)
  if (version !== 6) return version === 4 ? bare : null
  return bare.replace(/^::ffff:(?=\d+\.)/i, '')
}
