// Idempotency keys: claimed by a transaction's first statement, so that an equal request waits for it.
import { AppError } from '../errors.ts'
import type { Fill } from './feed.ts'
import type { Tx } from './client.ts'
import { codeOf } from './errors.ts'

interface Kept {
  status: number
  headers: Record<string, string>
  body: string | null
}

/**
 * Claims the key for this transaction and answers null, or answers what an earlier request was told.
 * 422 `idempotency_key_reused` for another body; 409 `idempotency_in_flight` when the first still runs after the
 * connection's lock timeout (2 s).
 */
export const claimKey = async (
  tx: Tx,
  userId: string,
  claim: { method: string; path: string; key: string; fingerprint: Uint8Array },
): Promise<Kept | null> => {
  const { method, path, key, fingerprint } = claim
  const claimed = await tx`
    insert into idempotency_keys (user_id, method, path, key, fingerprint)
    values (${userId}, ${method}, ${path}, ${key}, ${fingerprint})
    on conflict on constraint idempotency_keys_pkey do update
      set fingerprint = excluded.fingerprint, status = null, created_at = now()
      where idempotency_keys.created_at < now() - interval '24 hours'
    returning key`.catch((error: unknown) => {
    if (codeOf(error) !== '55P03') throw error
    throw new AppError('idempotency_in_flight', undefined, { retryAfter: 1, cause: error })
  })
  if (claimed.length > 0) return null
  const [kept] = await tx<(Kept & { same: boolean })[]>`
    select status, headers, body, fingerprint = ${fingerprint} as same
    from idempotency_keys
    where user_id = ${userId} and method = ${method} and path = ${path} and key = ${key}`
  if (!kept?.same) throw new AppError('idempotency_key_reused')
  return {
    status: kept.status,
    headers: { ...kept.headers, 'Idempotency-Replayed': 'true' },
    body: kept.body,
  }
}

/** Keeps the answer of a request that changed nothing and so appended nothing. */
export const fillKey = async (tx: Tx, fill: Fill): Promise<void> => {
  await tx`
    update idempotency_keys set
      status = ${fill.status}, headers = ${JSON.stringify(fill.headers)}::text::jsonb, body = ${fill.body}
    where user_id = ${fill.userId} and method = ${fill.method} and path = ${fill.path} and key = ${fill.key}`
}
