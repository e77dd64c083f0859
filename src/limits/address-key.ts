// The key under which an address is counted by limits.
import { isIPv6 } from 'node:net'

/** IPv4 mapped to IPv6 counts as IPv4; IPv6 counts by its /64, which one household has. */
export const addressKey = (ip: string): string => {
  const bare = ip.replace(/%.*$/, '').slice(0, 64)
  if (!isIPv6(bare)) return bare
  const [head = '', tail] = new URL(`http://[${bare}]`).hostname.slice(1, -1).split('::')
  const first = head === '' ? [] : head.split(':')
  const last = tail === undefined || tail === '' ? [] : tail.split(':')
  const groups = [...first, ...Array<string>(8 - first.length - last.length).fill('0'), ...last]
  if (groups.slice(0, 6).join(':') !== '0:0:0:0:0:ffff') return `${groups.slice(0, 4).join(':')}::/64`
  const [high, low] = groups.slice(6).map((group) => Number.parseInt(group, 16))
  return [high! >> 8, high! & 255, low! >> 8, low! & 255].join('.')
}

/** The caller under whose limits an address without a user is served: its database calls, bodies, answers. */
export const addressCaller = (ip: string): string => `address:${addressKey(ip)}`
