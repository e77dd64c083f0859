// Idempotency keys. Invariant: a transaction claims its key with its first statement, so an equal request waits for it.
import { AppError } from '../../errors.ts'
import type { IdempotencyFill } from './feed.ts'
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

export interface KeptReply {
  status: number
  headers: Record<string, string>
  /** Without `texts`. */
  body: string | null
  texts: CutText[]
  /** As stored with the response. */
  subject: unknown
}

/**
 * Claims the key for this transaction and returns null, or returns the stored response of an earlier request.
 * 422 `idempotency_key_reused` for another body; 409 `idempotency_in_flight` when the first still runs after the
 * connection's lock timeout (2 s).
 */
export const claimKey = async (
  tx: Tx,
  userId: string,
  claim: { method: string; path: string; key: string; fingerprint: Uint8Array },
): Promise<KeptReply | null> => {
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
  const kept = await selectKept(tx, userId, claim)
  if (!kept) throw new AppError('idempotency_key_reused')
  return kept
}

/**
 * The response of an earlier request with this key in the last 24 hours, null where there is none. Claims nothing.
 * 422 `idempotency_key_reused` for another body.
 */
export const selectKept = async (
  sql: Queryable,
  userId: string,
  { method, path, key, fingerprint }: { method: string; path: string; key: string; fingerprint: Uint8Array },
): Promise<KeptReply | null> => {
  const [kept] = await sql<(KeptReply & { same: boolean })[]>`
    select status, headers, body, texts, subject, fingerprint = ${fingerprint} as same
    from idempotency_keys
    where user_id = ${userId} and method = ${method} and path = ${path} and key = ${key}
      and created_at >= now() - interval '24 hours'`
  if (!kept) return null
  if (!kept.same) throw new AppError('idempotency_key_reused')
  return {
    status: kept.status,
    headers: { ...kept.headers, 'Idempotency-Replayed': 'true' },
    body: kept.body,
    texts: kept.texts,
    subject: kept.subject,
  }
}

/** Stores the response of a request that changed nothing and so appended nothing. */
export const fillKey = async (tx: Tx, fill: IdempotencyFill): Promise<void> => {
  await tx`
    update idempotency_keys set
      status = ${fill.status}, headers = ${JSON.stringify(fill.headers)}::text::jsonb, body = ${fill.body},
      subject = ${JSON.stringify(fill.subject)}::text::jsonb, texts = ${JSON.stringify(fill.texts)}::text::jsonb
    where user_id = ${fill.userId} and method = ${fill.method} and path = ${fill.path} and key = ${fill.key}`
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
