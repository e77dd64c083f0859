// Fingerprints of JSON bodies: equal for equal JSON values, whatever the order of members and white space, so that a
// client may serialise the body again for a retry.
import type { Config } from '../../config.ts'
import { isLongText } from '../../model/event.ts'

/**
 * SHA-256 of the value with sorted member names; HMAC-SHA-256 under a key for a body with a password, which a plain
 * digest would let a reader of the database try out.
 * @param body as it was parsed, undefined for none.
 */
export const fingerprintOf = (body: unknown, key?: Uint8Array): Uint8Array =>
  new Bun.CryptoHasher('sha256', key).update(body === undefined ? '' : canonicalJson(body)).digest()

/** The key for fingerprints of bodies with passwords, derived from the signing key. */
export const fingerprintKeyOf = ({ jwtKeys: [{ secret }] }: Pick<Config, 'jwtKeys'>): Uint8Array =>
  new Bun.CryptoHasher('sha256', secret).update('tasktide idempotency fingerprint v1').digest()

/** Bounded by `jsonBody`: 1 MiB, 32 levels, 10,000 members. */
const canonicalJson = (value: unknown): string => {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${members.map(([name, inner]) => `${JSON.stringify(name)}:${canonicalJson(inner)}`).join(',')}}`
}

/** The long texts of a body, at any depth. */
export const longTextsIn = (value: unknown): string[] => {
  if (typeof value === 'string') return isLongText(value) ? [value] : []
  if (typeof value !== 'object' || value === null) return []
  return Object.values(value).flatMap(longTextsIn)
}
