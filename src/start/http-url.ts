// The URL under which a process names itself.

/** An address that stands for all of the machine → one that can be called on it. */
const callable: Record<string, string> = { '0.0.0.0': '127.0.0.1', '::': '::1' }

/** @param host an address or a name that is listened on, without brackets. */
export const httpUrl = (host: string, port: number): string => {
  const own = callable[host] ?? host
  return `http://${own.includes(':') ? `[${own}]` : own}:${port}`
}
