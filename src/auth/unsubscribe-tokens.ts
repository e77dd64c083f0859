// Tokens of unsubscribe links: the user, the kinds of notifications, and an HMAC-SHA-256 of both, so that a link works
// without a session and for nothing else. They do not expire: a mail may be years old when its reader has had enough.
import type { Config } from '../config.ts'
import { notificationKinds, type NotificationKind } from '../model/notification.ts'
import { isId } from '../model/scalar.ts'
import type { JwtKey } from '../settings/jwt-secrets.ts'

type Keys = Pick<Config, 'jwtKeys'>

/** What a token allows: to stop mails about these kinds. */
export interface Unsubscription {
  userId: string
  kinds: NotificationKind[]
}

const macBytes = 16
const idBytes = 16
/** Kinds are bits in the order of their list, which only grows at its end. */
const maskBytes = 2

/** 46 characters of base64url under the first key. */
export const unsubscribeTokenOf = (
  { jwtKeys: [signing] }: Keys,
  { userId, kinds }: Unsubscription,
): string => {
  const mask = notificationKinds.reduce((bits, kind, n) => (kinds.includes(kind) ? bits | (1 << n) : bits), 0)
  const payload = Buffer.alloc(idBytes + maskBytes)
  payload.write(userId.replaceAll('-', ''), 'hex')
  payload.writeUInt16BE(mask, idBytes)
  return Buffer.concat([payload, macOf(signing, payload)]).toString('base64url')
}

/** What a token signed by any of the keys allows; null for another text. */
export const unsubscriptionOf = ({ jwtKeys }: Keys, token: string): Unsubscription | null => {
  if (!/^[\w-]{46}$/.test(token)) return null
  const bytes = Buffer.from(token, 'base64url')
  const payload = bytes.subarray(0, idBytes + maskBytes)
  const given = bytes.subarray(idBytes + maskBytes)
  if (!jwtKeys.some((key) => crypto.timingSafeEqual(macOf(key, payload), given))) return null
  const hex = payload.toString('hex', 0, idBytes)
  const userId = hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
  const mask = payload.readUInt16BE(idBytes)
  const kinds = notificationKinds.filter((_kind, n) => (mask & (1 << n)) !== 0)
  return isId(userId) && kinds.length > 0 ? { userId, kinds } : null
}

const macOf = ({ secret }: JwtKey, payload: Uint8Array): Buffer => {
  const key = new Bun.CryptoHasher('sha256', secret).update('tasktide unsubscribe v1').digest()
  return new Bun.CryptoHasher('sha256', key).update(payload).digest().subarray(0, macBytes)
}
