// Which web pages may send a user's cookies: those of the server's own origin and of the allow-list, compared exactly
// with scheme and port; in development also those of loopback and private-network addresses.
import { BlockList, isIP } from 'node:net'
import type { Config } from '../config.ts'

export type OriginConfig = Pick<Config, 'env' | 'allowedOrigins' | 'trustedProxies'>

/** Whether the origin is the server's own or allowed by the configuration. */
export const isAllowedOrigin = (origin: string, request: Request, config: OriginConfig): boolean =>
  config.allowedOrigins.includes(origin) ||
  origin === ownUrl(request, config)?.origin ||
  (config.env === 'development' && isPrivateOrigin(origin))

/** The allowed origins, as logged at the start. */
export const describeAllowedOrigins = ({ env, allowedOrigins }: OriginConfig): string =>
  [
    "the server's own origin",
    ...(env === 'development' ? ['loopback and private-network addresses (development only)'] : []),
    ...allowedOrigins,
  ].join(', ')

/**
 * Whether a browser that called the server this way drops cookies marked `Secure` although no one outside of this
 * machine or its network can read them: plain HTTP to a loopback or private address, in development.
 */
export const isPlainPrivateHttp = (request: Request, config: OriginConfig): boolean => {
  const own = ownUrl(request, config)
  return config.env === 'development' && own?.protocol === 'http:' && isPrivateHost(own.hostname)
}

/** The scheme of the page for the scheme of a request: proxies may forward ws and wss. */
const pageSchemes: Record<string, string> = { http: 'http', https: 'https', ws: 'http', wss: 'https' }

/**
 * The server's address as the browser sees it, null without a Host header: behind a trusted proxy the scheme is the one
 * that the proxy was called with.
 */
const ownUrl = ({ headers, url }: Request, { trustedProxies }: OriginConfig): URL | null => {
  const forwarded = trustedProxies > 0 ? headers.get('x-forwarded-proto')?.split(',').at(-1) : undefined
  const scheme =
    pageSchemes[forwarded?.trim().toLowerCase() ?? ''] ?? (url.startsWith('https:') ? 'https' : 'http')
  const host = headers.get('host')
  return host ? URL.parse(`${scheme}://${host}`) : null
}

const isPrivateOrigin = (origin: string): boolean => {
  const url = URL.parse(origin)
  return (
    url !== null && /^https?:$/.test(url.protocol) && url.origin === origin && isPrivateHost(url.hostname)
  )
}

/** Names that no public DNS server resolves, and addresses that no public router forwards. */
const isPrivateHost = (hostname: string): boolean => {
  if (/^(.+\.)?(localhost|local)$/.test(hostname)) return true
  const address = hostname.replace(/^\[|\]$/g, '')
  const version = isIP(address)
  return version !== 0 && privateNetworks.check(address, version === 6 ? 'ipv6' : 'ipv4')
}

const privateNetworks = new BlockList()
for (const [network, prefix] of [
  ['127.0.0.0', 8],
  ['10.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['169.254.0.0', 16],
] as const)
  privateNetworks.addSubnet(network, prefix, 'ipv4')
privateNetworks.addAddress('::1', 'ipv6')
privateNetworks.addSubnet('fc00::', 7, 'ipv6')
privateNetworks.addSubnet('fe80::', 10, 'ipv6')
