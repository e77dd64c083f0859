// Personal access tokens. Invariant: a token is known here by its SHA-256 alone; a revoked one keeps its row, until
// maintenance deletes it.
import { offsetOf, type Slice } from '../../model/page.ts'
import type { PersonalToken, TokenScope } from '../../model/personal-token.ts'
import type { Role } from '../../model/user.ts'
import type { Queryable, Tx } from '../client.ts'

const columns = (sql: Queryable) => sql`
  id, name, scopes, expires_at as "expiresAt", last_used_at as "lastUsedAt", created_at as "createdAt"`

export interface NewTokenRow {
  id: string
  userId: string
  name: string
  tokenHash: Uint8Array
  scopes: TokenScope[]
  /** RFC 3339; null for none. */
  expiresAt: string | null
}

/** Null where `expiresAt` has passed, by the clock of the database. */
export const insertPersonalToken = async (tx: Tx, token: NewTokenRow): Promise<PersonalToken | null> => {
  const [row] = await tx<PersonalToken[]>`
    insert into personal_tokens (id, user_id, name, token_hash, scopes, expires_at)
    select ${token.id}, ${token.userId}, ${token.name}, ${token.tokenHash}, ${token.scopes}::text[], e.at
    from (select ${token.expiresAt}::timestamptz(3) as at) e
    where e.at is null or e.at > now()
    returning ${columns(tx)}`
  return row ?? null
}

/** Those that were not revoked, also expired ones, newest first. */
export const selectPersonalTokens = (
  sql: Queryable,
  userId: string,
  slice: Slice,
): Promise<PersonalToken[]> => {
  const [createdAt = null, id = null] = slice.after ?? []
  return sql<PersonalToken[]>`
    select ${columns(sql)} from personal_tokens
    where user_id = ${userId} and revoked_at is null
      ${slice.after ? sql`and (created_at, id) < (${createdAt}, ${id})` : sql``}
    order by created_at desc, id desc
    limit ${slice.limit + 1} offset ${offsetOf(slice)}`
}

export const countPersonalTokens = async (sql: Queryable, userId: string): Promise<number> => {
  const [row] = await sql<{ count: number }[]>`
    select count(*) as count from personal_tokens where user_id = ${userId} and revoked_at is null`
  return row!.count
}

/** False where the user has no such token, or it is revoked already. */
export const revokePersonalToken = async (tx: Tx, userId: string, id: string): Promise<boolean> => {
  const rows = await tx`
    update personal_tokens set revoked_at = now()
    where id = ${id} and user_id = ${userId} and revoked_at is null
    returning id`
  return rows.length > 0
}

/** Revokes all tokens of a user. */
export const revokePersonalTokens = async (tx: Tx, userId: string): Promise<void> => {
  await tx`
    select from personal_tokens where user_id = ${userId} and revoked_at is null order by id for update`
  await tx`update personal_tokens set revoked_at = now() where user_id = ${userId} and revoked_at is null`
}

/** A token, dead or alive, and what its user's row says now. */
export interface TokenHolder {
  id: string
  userId: string
  role: Role
  isDisabled: boolean
  scopes: TokenScope[]
  /** RFC 3339; null for none. */
  expiresAt: string | null
  isExpired: boolean
  isRevoked: boolean
  /** Whether `last_used_at` is over a minute old. */
  isUnseen: boolean
}

/** @param hashes SHA-256 in hexadecimal. @returns in their order; null for no such token. */
export const selectTokenHolders = async (
  sql: Queryable,
  hashes: string[],
): Promise<(TokenHolder | null)[]> => {
  const rows = await sql<(TokenHolder & { hash: string })[]>`
    select
      encode(t.token_hash, 'hex') as hash, t.id, u.id as "userId", u.role, u.disabled_at is not null as "isDisabled",
      t.scopes, t.expires_at as "expiresAt", coalesce(t.expires_at <= now(), false) as "isExpired",
      t.revoked_at is not null as "isRevoked",
      coalesce(t.last_used_at < now() - interval '1 minute', true) as "isUnseen"
    from personal_tokens t join users u on u.id = t.user_id
    where t.token_hash = any(array(select decode(hash, 'hex') from unnest(${hashes}::text[]) hash))`
  const found = new Map(rows.map(({ hash, ...holder }) => [hash, holder]))
  return hashes.map((hash) => found.get(hash) ?? null)
}

/** Those of the tokens that are still valid, by id, with the role their user has now. */
export const selectLiveTokens = async (sql: Queryable, ids: string[]): Promise<Map<string, Role>> => {
  const rows = await sql<{ id: string; role: Role }[]>`
    select t.id, u.role
    from personal_tokens t join users u on u.id = t.user_id
    where t.id = any(${ids}::uuid[]) and t.revoked_at is null and u.disabled_at is null`
  return new Map(rows.map(({ id, role }) => [id, role]))
}

/** Notes that the tokens are used; those used within the minute, or locked right now, are left alone. */
export const touchPersonalTokens = async (tx: Tx, ids: string[]): Promise<void> => {
  await tx`
    update personal_tokens set last_used_at = now()
    where id in (
      select id from personal_tokens
      where id = any(${ids}::uuid[]) and coalesce(last_used_at < now() - interval '1 minute', true)
      for update skip locked)`
}
