// Idempotency keys. Invariant: a transaction claims its key with its first statement, so an equal request waits for it.
import { AppError } from '../../errors.ts'
import type { StoredResponse } from '../../model/stored-response.ts'
import type { Queryable, Tx } from '../client.ts'
import { codeOf } from '../errors.ts'

/** A long text that a stored response leaves out. */
export interface CutText {
  /** Index in `items`; null for the response itself. */
  item: number | null
  /** Of the task or project it belongs to. */
  id: string
  field: string
  /** First 16 bytes of SHA-256 in base64url. */
  digest: string
}

/** A response as its row stores it: without its long texts. */
export interface CompactResponse extends StoredResponse {
  texts: CutText[]
  /** What a caller must be able to read before the response is replayed; JSON. */
  subject: unknown
}

/** What identifies a claim, per user, and what makes two requests the same. */
export interface IdempotencyKey {
  key: string
  method: string
  path: string
  /** SHA-256 of the body as a JSON value. */
  fingerprint: Uint8Array
}

/** A row that was claimed earlier in the transaction, with the response to store in it. */
export interface ClaimedResponse extends IdempotencyKey, CompactResponse {
  userId: string
}

/**
 * Claims the key for this transaction and returns null, or returns the stored response of an earlier request.
 * 422 `idempotency_key_reused` for another body; 409 `idempotency_in_flight` when the first still runs after the
 * connection's lock timeout (2 s).
 */
export const claimIdempotencyKey = async (
  tx: Tx,
  userId: string,
  claim: IdempotencyKey,
): Promise<CompactResponse | null> => {
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
  const stored = await selectStoredResponse(tx, userId, claim)
  if (!stored) throw new AppError('idempotency_key_reused')
  return stored
}

/**
 * The response of an earlier request with this key in the last 24 hours, null where there is none. Claims nothing.
 * 422 `idempotency_key_reused` for another body.
 */
export const selectStoredResponse = async (
  sql: Queryable,
  userId: string,
  { method, path, key, fingerprint }: IdempotencyKey,
): Promise<CompactResponse | null> => {
  const [stored] = await sql<(CompactResponse & { isSameRequest: boolean })[]>`
    select status, headers, body, texts, subject, fingerprint = ${fingerprint} as "isSameRequest"
    from idempotency_keys
    where user_id = ${userId} and method = ${method} and path = ${path} and key = ${key}
      and created_at >= now() - interval '24 hours'`
  if (!stored) return null
  if (!stored.isSameRequest) throw new AppError('idempotency_key_reused')
  const { status, headers, body, texts, subject } = stored
  return { status, headers: { ...headers, 'Idempotency-Replayed': 'true' }, body, texts, subject }
}

/** Stores the response of a request that appended nothing; otherwise `append` stores it with the cursor. */
export const updateClaimedResponse = async (tx: Tx, claimed: ClaimedResponse): Promise<void> => {
  const { userId, method, path, key, status, headers, body, subject, texts } = claimed
  await tx`
    update idempotency_keys set
      status = ${status}, headers = ${JSON.stringify(headers)}::text::jsonb, body = ${body},
      subject = ${JSON.stringify(subject)}::text::jsonb, texts = ${JSON.stringify(texts)}::text::jsonb
    where user_id = ${userId} and method = ${method} and path = ${path} and key = ${key}`
}

/** How many numbers below the cursor are searched for the frames of one transaction. */
const maxEntriesBack = 2_000

/**
 * Frames of these entities that one keyed write appended, from the last number of its scope backwards.
 * @param write `shard` and `seq` of its `Tide-Cursor`, `op` its key.
 */
export const selectFramesOf = async (
  sql: Queryable,
  write: { shard: number; seq: number; op: string; userId: string; ids: string[] },
): Promise<string[]> => {
  const { shard, seq, op, userId, ids } = write
  const rows = await sql<{ frame: string }[]>`
    select frame from feed
    where shard = ${shard} and seq > ${seq - maxEntriesBack} and seq <= ${seq}
      and op = ${op} and actor_id = ${userId} and entity_id = any(${ids}::uuid[]) and frame is not null`
  return rows.map((row) => row.frame)
}
