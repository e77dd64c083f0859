// Users and projects whose text is not in NFC: rows that an earlier version wrote. They are read by ascending id in
// pages, because no index contains them.
import type { Queryable, Tx } from '../client.ts'
import { nameKey } from '../../model/text-form.ts'
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

/** Accounts whose name has no key to be searched by, or the key of an earlier name. */
export const selectNamesWithoutKey = (
  sql: Queryable,
  after: string,
  limit: number,
): Promise<Pick<User, 'id' | 'name'>[]> => sql<Pick<User, 'id' | 'name'>[]>`
  select id, name from users
  where id > ${after} and name_key_of is distinct from name
  order by id
  limit ${limit}`

/** Stores the keys of these names, where they are the present ones. Nothing that is shown changes. */
export const updateNameKeys = async (tx: Tx, users: Pick<User, 'id' | 'name'>[]): Promise<void> => {
  const rows = users.map(({ id, name }) => ({ id, name, key: nameKey(name) }))
  await tx`
    update users u set name_key = i.key, name_key_of = i.name
    from json_to_recordset(${JSON.stringify(rows)}::text::json) as i (id uuid, name text, key text)
    where u.id in (
      select id from users where id in ${tx(users.map(({ id }) => id))} order by id for no key update)
      and u.id = i.id and u.name = i.name`
}

/** Sets the normalised address and name. A verified address stays verified, because it is the same address. */
export const updateUserText = async (
  tx: Tx,
  { id, email, name }: Pick<User, 'id' | 'email' | 'name'>,
): Promise<void> => {
  await tx`
    update users set
      email = ${email}, name = ${name}, name_key = ${nameKey(name)}, name_key_of = ${name}, updated_at = now()
    where id = ${id}`
}
