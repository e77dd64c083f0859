// Where a database URL points. The driver reads TCP URLs only, so the two usual spellings of a unix socket,
// `postgres://user@/name?host=/run/postgresql` and `postgres://user@%2Frun%2Fpostgresql/name`, are read here.

export interface Address {
  /** The URL without its `host` and `port` parameters, for the driver. */
  url: string
  /** Host name, or the folder of the unix socket. */
  host: string
  port: number
  database: string
}

const emptyHost = /^(postgres(?:ql)?:\/\/(?:[^@/?]*@)?)(?=\/)/

/** @throws TypeError when `text` is not a URL. */
export const addressOf = (text: string): Address => {
  const url = new URL(text.replace(emptyHost, '$1localhost'))
  const host = url.searchParams.get('host') ?? decodeURIComponent(url.hostname)
  const port = Number(url.searchParams.get('port') ?? (url.port || 5432))
  url.searchParams.delete('host')
  url.searchParams.delete('port')
  url.hostname = 'localhost'
  return { url: url.href, host, port, database: decodeURIComponent(url.pathname.slice(1)) }
}
