// The keys of access tokens, as the setting lists them. Invariant: a problem never quotes a secret.
import type { Key } from './setting-kinds.ts'

export interface JwtKey {
  kid: string
  secret: string
}

export const jwtSecrets: Key<[JwtKey, ...JwtKey[]]> = {
  name: 'JWT_SECRETS',
  about:
    'Keys of access tokens, comma list of kid:secret; the first signs, all verify; each secret at least 32 bytes',
  example: '',
  read(value, fail, production) {
    const keys = (value ?? '')
      .split(',')
      .filter(Boolean)
      .map((part) => {
        const colon = Math.max(0, part.indexOf(':')) // without one there is no kid, and a secret must not become it
        return { kid: part.slice(0, colon), secret: part.slice(colon + 1) }
      })
    if (keys.length === 0) fail('is missing; set it to kid:secret, for example k1:$(openssl rand -hex 32)')
    for (const { kid, secret } of keys) {
      if (!/^[a-z0-9-]{1,32}$/.test(kid))
        fail('needs a kid of letters, digits or - before each secret, as in k1:secret')
      else if (Buffer.byteLength(secret) < 32)
        fail(`has a secret of ${kid} that is shorter than 32 bytes; make one with openssl rand -hex 32`)
      else if (production && new Set(secret).size < 10)
        fail(`has a secret of ${kid} that is too regular for production; make one with openssl rand -hex 32`)
    }
    if (new Set(keys.map((key) => key.kid)).size < keys.length) fail('names a kid twice')
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- no key at all was reported above
    return keys as [JwtKey, ...JwtKey[]]
  },
}
