// Access tokens the server would never sign itself: of another lifetime, by another key.
import type { Person, World } from '../support/world.ts'

interface Wanted {
  person?: Person
  expiresInMs?: number
}

/** By default of no user and of the usual lifetime. Token times are whole seconds: it may live up to one longer. */
export const signToken = async (
  { config }: World,
  { person, expiresInMs = 900_000 }: Wanted,
  secret = config.jwtKeys[0].secret,
): Promise<string> => {
  const nowSeconds = Math.floor(Date.now() / 1000)
  const header = { alg: 'HS256', typ: 'JWT', kid: config.jwtKeys[0].kid }
  const payload = {
    iss: 'tasktide',
    aud: 'tasktide-api',
    sub: person?.id ?? crypto.randomUUID(),
    sid: person ? sessionOf(person.token) : crypto.randomUUID(),
    iat: nowSeconds,
    exp: nowSeconds + Math.ceil(expiresInMs / 1000),
  }
  const text = [header, payload]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.')
  return `${text}.${new Bun.CryptoHasher('sha256', secret).update(text).digest('base64url')}`
}

const sessionOf = (token: string): string =>
  (JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()) as { sid: string }).sid
