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

/** A key with the user whose request carries it. */
export interface KeyOfUser extends IdempotencyKey {
  userId: string
}

/** Equal for the keys that exclude each other. */
export const keyText = ({ userId, method, path, key }: Omit<KeyOfUser, 'fingerprint'>): string =>
  `${userId} ${method} ${path} ${key}`

/** A record of `json_to_recordset`. */
const keyRow = ({ userId, method, path, key }: KeyOfUser) => ({ user_id: userId, method, path, key })

/**
 * Claims keys, all different, for this transaction. Returns the texts of those it claimed; the others have the response
 * of an earlier request, or were used with another body. Waits for transactions that hold one of them:
 * 409 `idempotency_in_flight` after the connection's lock timeout.
 */
export const claimIdempotencyKeys = async (tx: Tx, claims: KeyOfUser[]): Promise<Set<string>> => {
  const rows = claims.map((claim) => ({
    ...keyRow(claim),
    fingerprint: Buffer.from(claim.fingerprint).toString('base64'),
  }))
  // In one order, or two batches with the same keys could deadlock.
  const claimed = await tx<Omit<KeyOfUser, 'fingerprint'>[]>`
    insert into idempotency_keys (user_id, method, path, key, fingerprint)
    select user_id, method, path, key, decode(fingerprint, 'base64')
    from json_to_recordset(${JSON.stringify(rows)}::text::json) as i (
      user_id uuid, method text, path text, key text, fingerprint text)
    order by user_id, method, path, key
    on conflict on constraint idempotency_keys_pkey do update
      set fingerprint = excluded.fingerprint, status = null, created_at = now()
      where idempotency_keys.created_at < now() - interval '24 hours'
    returning user_id as "userId", method, path, key`.catch((error: unknown) => {
    if (codeOf(error) !== '55P03') throw error
    throw new AppError('idempotency_in_flight', undefined, { retryAfter: 1, cause: error })
  })
  return new Set(claimed.map(keyText))
}

/** Gives up keys that this transaction claimed: the requests failed and keep nothing under them. */
export const unclaimIdempotencyKeys = async (tx: Tx, claims: KeyOfUser[]): Promise<void> => {
  await tx`
    delete from idempotency_keys
    where ctid = any(array(
      select (
        select k.ctid from idempotency_keys k
        where k.user_id = i.user_id and k.method = i.method and k.path = i.path and k.key = i.key)
      from json_to_recordset(${JSON.stringify(claims.map(keyRow))}::text::json) as i (
        user_id uuid, method text, path text, key text)))`
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
  const claimed = await claimIdempotencyKeys(tx, [{ ...claim, userId }])
  if (claimed.size > 0) return null
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
