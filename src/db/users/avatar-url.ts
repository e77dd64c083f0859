// The path of a picture, in every statement that shows a person. It changes with the picture, so that clients may keep
// what they have read under it for good.
import type { Queryable } from '../client.ts'

/** The end of the object's key: another picture has another one. */
export const avatarTagOf = (key: string): string => key.slice(-12)

/** With `avatarTagOf`. @param table the alias under which the statement joins `users`. */
export const avatarUrl = (sql: Queryable, table: 'u' | 'a') => sql`
  case when ${sql(table)}.avatar_key is not null
    then '/api/users/' || ${sql(table)}.id || '/avatar?v=' || right(${sql(table)}.avatar_key, 12)
  end`
