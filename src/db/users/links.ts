// Links sent by mail. Invariant: a link is spent once, by an update that finds it unspent. A transaction that spends the
// link of an account locks the account first.
import type { Invitation, LinkKind } from '../../model/invitation.ts'
import { offsetOf, type Slice } from '../../model/page.ts'
import type { Queryable, Tx } from '../client.ts'

export interface NewLink {
  id: string
  kind: LinkKind
  email: string
  userId: string | null
  inviterId: string | null
  seconds: number
}

export interface LinkRow {
  id: string
  kind: LinkKind
  email: string
  userId: string | null
  inviterName: string | null
  expiresAt: string
  state: 'open' | 'used' | 'expired'
}

export const insertLink = async (tx: Tx, link: NewLink): Promise<void> => {
  await tx`
    insert into account_links (id, kind, email, user_id, inviter_id, expires_at)
    values (
      ${link.id}, ${link.kind}, ${link.email}, ${link.userId}, ${link.inviterId},
      now() + make_interval(secs => ${link.seconds}))`
}

export const selectLink = async (sql: Queryable, id: string): Promise<LinkRow | null> => {
  const [row] = await sql<LinkRow[]>`
    select
      l.id, l.kind, l.email, l.user_id as "userId", i.name as "inviterName", l.expires_at as "expiresAt",
      case
        when l.used_at is not null then 'used'
        when l.expires_at <= now() then 'expired'
        else 'open' end as state
    from account_links l left join users i on i.id = l.inviter_id
    where l.id = ${id}`
  return row ?? null
}

/** False where it is used or expired. */
export const spendLink = async (tx: Tx, id: string): Promise<boolean> => {
  const rows = await tx`
    update account_links set used_at = now()
    where id = ${id} and used_at is null and expires_at > now()
    returning id`
  return rows.length > 0
}

/** Spends the open links of a kind to an address: an older one counts no longer. */
export const spendLinksTo = async (tx: Tx, kind: LinkKind, email: string): Promise<void> => {
  await tx`
    update account_links set used_at = now()
    where id in (
      select id from account_links
      where email = ${email} and kind = ${kind} and used_at is null and expires_at > now()
      order by id for update)`
}

/** The account that has the link's address when the mail is sent. */
export const bindLink = async (tx: Tx, id: string, userId: string): Promise<void> => {
  await tx`
    update account_links set user_id = ${userId} where id = ${id} and user_id is null`
}

const invitationColumns = (sql: Queryable) => sql`
  id, email, created_at as "createdAt", expires_at as "expiresAt", used_at as "acceptedAt"`

export const selectInvitation = async (sql: Queryable, id: string): Promise<Invitation | null> => {
  const [row] = await sql<Invitation[]>`
    select ${invitationColumns(sql)} from account_links where id = ${id} and kind = 'invitation'`
  return row ?? null
}

/** The newest first, one more than the slice has. Ids sort by creation. */
export const selectInvitations = (sql: Queryable, slice: Slice): Promise<Invitation[]> => sql<Invitation[]>`
  select ${invitationColumns(sql)} from account_links
  where kind = 'invitation' and ${slice.after === null ? sql`true` : sql`id < ${String(slice.after[0])}`}
  order by id desc
  limit ${slice.limit + 1} offset ${offsetOf(slice)}`

export const countInvitations = async (sql: Queryable): Promise<number> => {
  const [row] = await sql<{ count: number }[]>`
    select count(*)::int as count from account_links where kind = 'invitation'`
  return row!.count
}

export const deleteInvitation = async (tx: Tx, id: string): Promise<boolean> => {
  const rows = await tx`
    delete from account_links where id = ${id} and kind = 'invitation' returning id`
  return rows.length > 0
}

/** Withdraws earlier invitations of the address that were not accepted. */
export const deleteOpenInvitations = async (tx: Tx, email: string): Promise<void> => {
  await tx`
    delete from account_links where email = ${email} and kind = 'invitation' and used_at is null`
}
