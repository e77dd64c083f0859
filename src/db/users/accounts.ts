// Accounts as admins administer them, in the order of their creation.
import { offsetOf, type Slice } from '../../model/page.ts'
import type { Account, Role } from '../../model/user.ts'
import type { Queryable, Tx } from '../client.ts'
import { userColumns } from './users.ts'

const columns = (sql: Queryable) => sql`${userColumns(sql)}, u.disabled_at is not null as disabled`

/** One more than the slice has. Ids sort by creation. */
export const selectAccounts = (sql: Queryable, slice: Slice): Promise<Account[]> => sql<Account[]>`
  select ${columns(sql)} from users u
  where ${slice.after === null ? sql`true` : sql`u.id > ${String(slice.after[0])}`}
  order by u.id
  limit ${slice.limit + 1} offset ${offsetOf(slice)}`

export const countAccounts = async (sql: Queryable): Promise<number> => {
  const [row] = await sql<{ count: number }[]>`
    select count(*)::int as count from users`
  return row!.count
}

export const selectAccount = async (sql: Queryable, id: string): Promise<Account | null> => {
  const [row] = await sql<Account[]>`
    select ${columns(sql)} from users u where u.id = ${id}`
  return row ?? null
}

/** Locks the account against every change of it. */
export const lockAccount = async (tx: Tx, id: string): Promise<Account | null> => {
  const [row] = await tx<Account[]>`
    select ${columns(tx)} from users u where u.id = ${id} for update`
  return row ?? null
}

/** An account that is disabled already keeps the time since when it is. */
export const updateAccount = async (
  tx: Tx,
  { id, role, disabled }: { id: string; role: Role; disabled: boolean },
): Promise<Account> => {
  const [row] = await tx<Account[]>`
    update users u set
      role = ${role}, updated_at = now(),
      disabled_at = case when ${disabled} then coalesce(u.disabled_at, now()) end
    where u.id = ${id}
    returning ${columns(tx)}`
  return row!
}

/** For this transaction: no other one takes an admin away. Take it before any row. */
export const lockAdminRole = async (tx: Tx): Promise<void> => {
  await tx`select pg_advisory_xact_lock(hashtextextended('admins', 0))`
}

/** Whether someone else is an admin who can sign in. */
export const hasOtherAdmin = async (tx: Tx, userId: string): Promise<boolean> => {
  const [row] = await tx<{ exists: boolean }[]>`
    select exists (
      select from users where role = 'admin' and disabled_at is null and id <> ${userId}) as exists`
  return row!.exists
}
