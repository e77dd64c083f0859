// Parses REDIS_URL completely. The driver takes every parameter of a URL as one of its own options, deadlines included;
// so the driver receives the parsed address and never the URL.
import { decoded, hostOf, readUrl } from './url.ts'

export interface RedisAddress {
  host: string
  port: number
  username: string | null
  password: string | null
  database: number
  /** 0: either. */
  family: 0 | 4 | 6
  tls: boolean
}

const usualPort = 6379

/** @returns an address that is valid only while `problems` is empty. Problems never quote a secret. */
export const readRedisUrl = (text: string): { address: RedisAddress; problems: string[] } => {
  const { url, problems } = readUrl(text, ['redis:', 'rediss:'])
  const path = url?.pathname.slice(1) ?? ''
  const family = url?.searchParams.get('family') ?? '0'
  const address: RedisAddress = {
    host: hostOf(url?.hostname ?? '') || 'localhost',
    port: Number(url?.port || usualPort),
    username: decoded(url?.username ?? ''),
    password: decoded(url?.password ?? ''),
    database: Number(path),
    family: family === '4' ? 4 : family === '6' ? 6 : 0,
    tls: url?.protocol === 'rediss:',
  }
  if (!/^\d{0,4}$/.test(path))
    problems.push('names a database that is no number: end it with /0, for example')
  for (const name of url?.searchParams.keys() ?? []) {
    if (name !== 'family')
      problems.push(`has a parameter ${name} that is refused: leave it out (supported: family)`)
  }
  if (!/^[046]$/.test(family)) problems.push('has a parameter family that is refused: 4, 6, or 0 for either')
  return { address, problems }
}
