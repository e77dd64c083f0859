// Pictures of people. A trigger lists the object of a picture that is replaced or removed for deletion.
import type { User } from '../../model/user.ts'
import type { Queryable, Tx } from '../client.ts'
import { userColumns } from './users.ts'

/** The object of a picture, and what it is sent as. */
export interface Avatar {
  key: string
  contentType: string
}

/** Null where the account has none, or does not exist. */
export const selectAvatar = async (sql: Queryable, userId: string): Promise<Avatar | null> => {
  const [row] = await sql<Avatar[]>`
    select avatar_key as key, avatar_type as "contentType" from users
    where id = ${userId} and avatar_key is not null`
  return row ?? null
}

/** The account must be locked. */
export const updateAvatar = async (tx: Tx, userId: string, avatar: Avatar | null): Promise<User> => {
  const [row] = await tx<User[]>`
    update users u set
      avatar_key = ${avatar?.key ?? null}, avatar_type = ${avatar?.contentType ?? null}, updated_at = now()
    where u.id = ${userId}
    returning ${userColumns(tx)}`
  return row!
}
