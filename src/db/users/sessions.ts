// Sessions and their refresh tokens. Invariant: a session is one family of tokens of which one is unspent; a token
// is known here by its SHA-256 alone. A transaction that spends or revokes a token locks the session's row first.
import { offsetOf, type Slice } from '../../model/page.ts'
import type { Session } from '../../model/user.ts'
import type { Role } from '../../model/user.ts'
import type { Queryable, Tx } from '../client.ts'

/** How long a session lives without a refresh, and so its unspent token. */
export const sessionSeconds = 7 * 24 * 60 * 60

export interface NewSession {
  id: string
  userId: string
  tokenHash: Uint8Array
  userAgent: string
  ip: string
}

export const insertSession = async (tx: Tx, session: NewSession): Promise<void> => {
  await tx`
    with made as (
      insert into sessions (id, user_id, user_agent, ip, expires_at)
      values (
        ${session.id}, ${session.userId}, ${session.userAgent}, ${session.ip},
        now() + make_interval(secs => ${sessionSeconds}))
      returning id, expires_at
    )
    insert into refresh_tokens (token_hash, session_id, expires_at)
    select ${session.tokenHash}, id, expires_at from made`
}

/** A live session and what its user's row says now. */
export interface SessionHolder {
  userId: string
  role: Role
  isDisabled: boolean
  /** Whether `last_seen_at` is over a minute old. */
  isUnseen: boolean
}

/** In the order of `ids`; null for a session that does not exist, was revoked or ran out. */
export const selectSessionHolders = async (
  sql: Queryable,
  ids: string[],
): Promise<(SessionHolder | null)[]> => {
  const rows = await sql<(SessionHolder & { id: string })[]>`
    select
      s.id, u.id as "userId", u.role, u.disabled_at is not null as "isDisabled",
      s.last_seen_at < now() - interval '1 minute' as "isUnseen"
    from sessions s join users u on u.id = s.user_id
    where s.id = any(${ids}::uuid[]) and s.revoked_at is null and s.expires_at > now()`
  const found = new Map(rows.map(({ id, ...holder }) => [id, holder]))
  return ids.map((id) => found.get(id) ?? null)
}

/** The current role of the user of each of these sessions that is still valid, by session id. */
export const selectLiveSessions = async (sql: Queryable, ids: string[]): Promise<Map<string, Role>> => {
  const rows = await sql<{ id: string; role: Role }[]>`
    select s.id, u.role
    from sessions s join users u on u.id = s.user_id
    where s.id = any(${ids}::uuid[])
      and s.revoked_at is null and s.expires_at > now() and u.disabled_at is null`
  return new Map(rows.map(({ id, role }) => [id, role]))
}

/** Notes that the sessions are used; those seen within the minute, or locked right now, are left alone. */
export const touchSessions = async (tx: Tx, ids: string[]): Promise<void> => {
  await tx`
    update sessions set last_seen_at = now()
    where id in (
      select id from sessions
      where id in ${tx(ids)} and last_seen_at < now() - interval '1 minute'
      for update skip locked)`
}

export interface SessionRow {
  id: string
  userId: string
  isLive: boolean
}

/** Locks the session a refresh token belongs to, spent or not. */
export const lockSessionOfToken = async (tx: Tx, tokenHash: Uint8Array): Promise<SessionRow | null> => {
  const [row] = await tx<SessionRow[]>`
    select s.id, s.user_id as "userId", s.revoked_at is null and s.expires_at > now() as "isLive"
    from sessions s
    where s.id = (select session_id from refresh_tokens where token_hash = ${tokenHash})
    for update`
  return row ?? null
}

/** Only under the lock of its session. `repeat`: spent so recently that its successor is given out again in any case. */
export const selectRefreshToken = async (
  tx: Tx,
  tokenHash: Uint8Array,
  graceSeconds: number,
): Promise<{ state: 'fresh' | 'repeat' | 'spent' | 'expired' } | null> => {
  const [row] = await tx<{ state: 'fresh' | 'repeat' | 'spent' | 'expired' }[]>`
    select case
      when spent_at > now() - make_interval(secs => ${graceSeconds}) then 'repeat'
      when spent_at is not null then 'spent'
      when expires_at <= now() then 'expired'
      else 'fresh' end as state
    from refresh_tokens where token_hash = ${tokenHash}`
  return row ?? null
}

/** Those of these tokens that exist, and whether they were spent. */
export const selectKnownTokens = (
  tx: Tx,
  tokenHashes: Uint8Array[],
): Promise<{ tokenHash: Uint8Array; isSpent: boolean }[]> => tx`
  select token_hash as "tokenHash", spent_at is not null as "isSpent"
  from refresh_tokens where token_hash in ${tx(tokenHashes)}`

/** Spends a token for its successor: the session lives on from now, tokens too old to matter go. */
export const rotateToken = async (
  tx: Tx,
  { sessionId, spent, successor }: { sessionId: string; spent: Uint8Array; successor: Uint8Array },
): Promise<void> => {
  await tx`
    with cleared as (
      delete from refresh_tokens where session_id = ${sessionId} and expires_at < now()
    ), spent as (
      update refresh_tokens set spent_at = now() where token_hash = ${spent}
    ), kept as (
      update sessions set last_seen_at = now(), expires_at = now() + make_interval(secs => ${sessionSeconds})
      where id = ${sessionId}
      returning id, expires_at
    )
    insert into refresh_tokens (token_hash, session_id, expires_at)
    select ${successor}, id, expires_at from kept`
}

/** Revokes one session of a user; false when it was not live. */
export const revokeSession = async (tx: Tx, userId: string, id: string): Promise<boolean> => {
  const rows = await tx`
    update sessions set revoked_at = now()
    where id = ${id} and user_id = ${userId} and revoked_at is null and expires_at > now()
    returning id`
  return rows.length > 0
}

/** Revokes the oldest live sessions of a user beyond `most`, and answers which. The user's row must be locked. */
export const revokeOldestSessions = async (tx: Tx, userId: string, most: number): Promise<string[]> => {
  const rows = await tx<{ id: string }[]>`
    update sessions set revoked_at = now()
    where id in (
      select id from sessions
      where user_id = ${userId} and revoked_at is null and expires_at > now()
      order by created_at desc, id desc
      offset ${most})
    returning id`
  return rows.map((row) => row.id)
}

/** Revokes all sessions of a user but one. */
export const revokeSessions = async (tx: Tx, userId: string, except: string | null): Promise<void> => {
  await tx`
    select from sessions where user_id = ${userId} and revoked_at is null order by id for update`
  await tx`
    update sessions set revoked_at = now()
    where user_id = ${userId} and revoked_at is null and id is distinct from ${except}::uuid`
}

/** The user's live sessions, last used first. */
export const selectSessions = (
  sql: Queryable,
  userId: string,
  currentId: string | null,
  slice: Slice,
): Promise<Session[]> => {
  const [lastSeenAt = null, id = null] = slice.after ?? []
  return sql<Session[]>`
    select
      id, user_agent as "userAgent", ip, created_at as "createdAt", last_seen_at as "lastSeenAt",
      coalesce(id = ${currentId}, false) as current
    from sessions
    where user_id = ${userId} and revoked_at is null and expires_at > now()
      ${slice.after ? sql`and (last_seen_at, id) < (${lastSeenAt}, ${id})` : sql``}
    order by last_seen_at desc, id desc
    limit ${slice.limit + 1} offset ${offsetOf(slice)}`
}

export const countSessions = async (sql: Queryable, userId: string): Promise<number> => {
  const [row] = await sql<{ count: number }[]>`
    select count(*)::int as count from sessions
    where user_id = ${userId} and revoked_at is null and expires_at > now()`
  return row!.count
}

/** Addresses of the user's newest 200 sessions that were seen within `days`, also of ended ones. */
export const selectRecentAddresses = async (
  sql: Queryable,
  userId: string | null,
  days: number,
): Promise<string[]> => {
  const rows = await sql<{ ip: string }[]>`
    select distinct ip from (
      select ip, last_seen_at from sessions where user_id = ${userId} order by created_at desc limit 200
    ) newest
    where last_seen_at > now() - make_interval(days => ${days})`
  return rows.map((row) => row.ip)
}
