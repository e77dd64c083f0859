// Which notifications users want, as rows. A user without a row has the defaults: everything, a day before it is due.
import { defaultDueSoonHours, type Channel, type NotificationKind } from '../../model/notification.ts'
import type { Queryable, Tx } from '../client.ts'

/** By kind, the channels that are off. What is not listed is on. */
export type Silenced = Partial<Record<NotificationKind, Channel[]>>

export interface PreferenceRow {
  dueSoonHours: number
  silenced: Silenced
}

const defaults: PreferenceRow = { dueSoonHours: defaultDueSoonHours, silenced: {} }

const columns = (sql: Queryable) => sql`due_soon_hours as "dueSoonHours", silenced`

export const selectPreferences = async (sql: Queryable, userId: string): Promise<PreferenceRow> => {
  const [row] = await sql<PreferenceRow[]>`
    select ${columns(sql)} from notification_preferences where user_id = ${userId}`
  return row ?? defaults
}

/** Locks the row, which it makes where there is none. 401 where the account is gone. */
export const lockPreferences = async (tx: Tx, userId: string): Promise<PreferenceRow> => {
  await tx`
    insert into notification_preferences (user_id) values (${userId})
    on conflict on constraint notification_preferences_pkey do nothing`
  const [row] = await tx<PreferenceRow[]>`
    select ${columns(tx)} from notification_preferences where user_id = ${userId} for update`
  return row!
}

/** The row must be locked. */
export const updatePreferences = async (
  tx: Tx,
  userId: string,
  { dueSoonHours, silenced }: PreferenceRow,
): Promise<void> => {
  await tx`
    update notification_preferences set
      due_soon_hours = ${dueSoonHours}, silenced = ${JSON.stringify(silenced)}::text::jsonb, updated_at = now()
    where user_id = ${userId}`
}

/** Of the users who have silenced something. */
export const selectSilenced = async (sql: Queryable, userIds: string[]): Promise<Map<string, Silenced>> => {
  const rows = await sql<{ userId: string; silenced: Silenced }[]>`
    select user_id as "userId", silenced from notification_preferences
    where user_id = any(${userIds}::uuid[]) and silenced <> '{}'`
  return new Map(rows.map(({ userId, silenced }) => [userId, silenced]))
}
