// Access tokens: JWTs that name user and session, and nothing that can change meanwhile. Everything the jwt plugin
// leaves open is fixed here: algorithm, type, issuer, audience, an expiry, and a header with no other parameter.
import { jwt } from '@elysiajs/jwt'
import type { Config } from '../config.ts'
import { AppError } from '../errors.ts'
import { isId } from '../model/scalar.ts'
import { accessTokenSeconds } from '../model/user.ts'

/** Signs and checks access tokens; the only thing that knows their keys. */
export interface Tokens {
  /** A JWT for this session, valid for `accessTokenSeconds`. */
  sign(claims: { userId: string; sessionId: string }): Promise<string>
  /** The claims of a valid token; 401 `unauthenticated` or `token_expired` otherwise. */
  verify(token: string): Promise<AccessClaims>
}

export interface AccessClaims {
  userId: string
  sessionId: string
  /** Epoch milliseconds. */
  expiresAt: number
}

const issuer = 'tasktide'
const audience = 'tasktide-api'

const checks = {
  algorithms: ['HS256'],
  typ: 'JWT',
  issuer,
  audience,
  requiredClaims: ['sub', 'sid', 'iat', 'exp'],
}

/** The first of `jwtKeys` signs; each verifies what names its `kid`. */
export const createTokens = ({ jwtKeys }: Pick<Config, 'jwtKeys'>): Tokens => {
  const signers = new Map(
    jwtKeys.map(({ kid, secret }) => [
      kid,
      jwt({ secret, kid, alg: 'HS256', typ: 'JWT', iss: issuer, aud: audience }).decorator.jwt,
    ]),
  )
  const signer = signers.get(jwtKeys[0].kid)!

  return {
    sign: ({ userId, sessionId }) =>
      signer.sign({ sub: userId, sid: sessionId, exp: `${accessTokenSeconds}s` }),
    verify: async (token) => {
      const [header, payload] = token.split('.').map(readPart)
      const verifier = signers.get(kidOf(header))
      if (!verifier) throw new AppError('unauthenticated')
      const claims = await verifier.verify(token, checks)
      if (claims && isId(claims.sub) && isId(claims['sid']) && typeof claims.exp === 'number') {
        return { userId: claims.sub, sessionId: claims['sid'], expiresAt: claims.exp * 1000 }
      }
      // Worth telling apart only if all else is right: the client may then refresh.
      const expiry = payload?.['exp']
      const wasValid =
        typeof expiry === 'number' &&
        expiry * 1000 <= Date.now() &&
        (await verifier.verify(token, { ...checks, currentDate: new Date(expiry * 1000 - 1000) }))
      throw new AppError(wasValid ? 'token_expired' : 'unauthenticated')
    },
  }
}

/** The key a header names; empty if the header has any member but algorithm, type and key. */
const kidOf = (header: Record<string, unknown> | null | undefined): string => {
  const { alg, typ, kid, ...more } = header ?? {}
  return alg === 'HS256' && typ === 'JWT' && typeof kid === 'string' && Object.keys(more).length === 0
    ? kid
    : ''
}

/** A part of a token before anything vouches for it. */
const readPart = (part: string): Record<string, unknown> | null => {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString())
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- an object, whose fields stay unknown
    return typeof value === 'object' ? (value as Record<string, unknown> | null) : null
  } catch {
    return null
  }
}
