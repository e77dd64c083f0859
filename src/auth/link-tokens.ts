// Tokens of links that are sent by mail. A token is the link's id and an HMAC-SHA-256 of kind and id under a key of the
// server, so that nothing secret is stored: no link can be made from the database or a copy of it. What the link
// is worth (its address, whether it was used, when it expires) is in its row.
import type { Config } from '../config.ts'
import type { LinkKind } from '../model/invitation.ts'
import { isId } from '../model/scalar.ts'
import type { JwtKey } from '../settings/jwt-secrets.ts'

type Keys = Pick<Config, 'jwtKeys'>

/** The token under the signing key: 66 characters of base64url and a dot. */
export const linkTokenOf = ({ jwtKeys: [signing] }: Keys, kind: LinkKind, id: string): string =>
  `${Buffer.from(id.replaceAll('-', ''), 'hex').toString('base64url')}.${macOf(signing, kind, id).toString('base64url')}`

/** The id of the link a token was made for, under any of the keys; null for what is no token of this kind. */
export const linkIdOf = ({ jwtKeys }: Keys, kind: LinkKind, token: string): string | null => {
  const match = /^([\w-]{22})\.([\w-]{43})$/.exec(token)
  if (!match) return null
  const hex = Buffer.from(match[1]!, 'base64url').toString('hex')
  const id = hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
  const given = Buffer.from(match[2]!, 'base64url')
  const isSigned = jwtKeys.some((key) => crypto.timingSafeEqual(macOf(key, kind, id), given))
  return isSigned && isId(id) ? id : null
}

const macOf = ({ secret }: JwtKey, kind: LinkKind, id: string): Buffer => {
  const key = new Bun.CryptoHasher('sha256', secret).update('tasktide account link v1').digest()
  return new Bun.CryptoHasher('sha256', key).update(`${kind} ${id}`).digest()
}
