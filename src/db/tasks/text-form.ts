// Accounts and projects whose text is not in NFC: rows of the version before. Read by ascending id, a page at a time,
// because no index finds them.
import type { Queryable, Tx } from '../client.ts'
import type { User } from '../../model/user.ts'

/** A row that was looked at. */
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

/** The same address and name in another form: a verified address stays verified. */
export const updateUserText = async (
  tx: Tx,
  { id, email, name }: Pick<User, 'id' | 'email' | 'name'>,
): Promise<void> => {
  await tx`
    update users set email = ${email}, name = ${name}, updated_at = now() where id = ${id}`
}
