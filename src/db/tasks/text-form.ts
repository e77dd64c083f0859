// Users and projects whose text is not in NFC: rows that an earlier version wrote. They are read by ascending id in
// pages, because no index contains them.
import type { Queryable, Tx } from '../client.ts'
import type { User } from '../../model/user.ts'

/** A row that was checked. */
export interface Examined {
  id: string
  isNormal: boolean
}

export const examineUsers = (sql: Queryable, after: string, limit: number): Promise<Examined[]> => sql<
  Examined[]
>`
  select id, email is nfc normalized and name is nfc normalized as "isNormal"
  from users
  where id > ${after}
  order by id
  limit ${limit}`

export const examineProjects = (sql: Queryable, after: string, limit: number): Promise<Examined[]> => sql<
  Examined[]
>`
  select id, name is nfc normalized and description is nfc normalized as "isNormal"
  from projects
  where id > ${after}
  order by id
  limit ${limit}`

/** Sets the normalised address and name. A verified address stays verified, because it is the same address. */
export const updateUserText = async (
  tx: Tx,
  { id, email, name }: Pick<User, 'id' | 'email' | 'name'>,
): Promise<void> => {
  await tx`
    update users set email = ${email}, name = ${name}, updated_at = now() where id = ${id}`
}
