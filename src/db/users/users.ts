// Accounts. The password hash leaves this file only to be verified or compared; every other column in `User`.
import { AppError, invalid } from '../../errors.ts'
import { offsetOf, type Slice } from '../../model/page.ts'
import { canonicalEmail, nameKey } from '../../model/text-form.ts'
import type { PublicUser, Role, User } from '../../model/user.ts'
import type { Queryable, Tx } from '../client.ts'
import { avatarUrl } from './avatar-url.ts'

/** What a sign-in or a change that needs the password works with. */
export interface Credentials {
  user: User
  /** Null where the account has no password: it signs in by another way, or sets one by a reset. */
  passwordHash: string | null
  isDisabled: boolean
}

interface CredentialsRow extends User {
  passwordHash: string | null
  isDisabled: boolean
}

export const userColumns = (sql: Queryable) => sql`
  u.id, u.email, u.name, u.role, u.time_zone as "timeZone", u.email_verified_at is not null as "emailVerified",
  ${avatarUrl(sql, 'u')} as "avatarUrl", u.created_at as "createdAt", u.updated_at as "updatedAt"`

const credentialColumns = (sql: Queryable) => sql`
  ${userColumns(sql)}, u.password_hash as "passwordHash", u.disabled_at is not null as "isDisabled"`

const credentials = (row: CredentialsRow | undefined): Credentials | null => {
  if (!row) return null
  const { passwordHash, isDisabled, ...user } = row
  return { user, passwordHash, isDisabled }
}

/**
 * Keeps an address for this transaction. PostgreSQL writes the row or key of a violated constraint into its log, so a
 * taken address must not get as far as the constraint: the lock makes all who want one address ask one after another.
 * 409 `email_taken`, 422 for letters that PostgreSQL lower-cases in another way.
 * @param ownerId the account that may have it already.
 */
export const reserveEmail = async (tx: Tx, email: string, ownerId: string): Promise<void> => {
  await tx`select pg_advisory_xact_lock(hashtextextended(${`e-mail ${email}`}, 0))`
  // A statement of its own: it has to see what the one that held the lock has committed.
  const [row] = await tx<{ isTaken: boolean; isLowerCase: boolean }[]>`
    select ${email}::text = lower(${email}::text) as "isLowerCase",
      exists (select from users where email = ${email} and id <> ${ownerId}) as "isTaken"`
  if (row!.isTaken) throw new AppError('email_taken')
  if (!row!.isLowerCase)
    throw invalid({ pointer: '/email', detail: 'has letters that are unsafe in an address' })
}

/** 409 `email_taken`. */
export const insertUser = async (
  tx: Tx,
  user: {
    id: string
    email: string
    name: string
    passwordHash: string | null
    timeZone: string
    role: Role
    emailVerified: boolean
  },
): Promise<User> => {
  await reserveEmail(tx, user.email, user.id)
  const [row] = await tx<User[]>`
    insert into users as u (
      id, email, name, name_key, name_key_of, role, password_hash, time_zone, email_verified_at)
    values (
      ${user.id}, ${user.email}, ${user.name}, ${nameKey(user.name)}, ${user.name}, ${user.role},
      ${user.passwordHash}, ${user.timeZone}, case when ${user.emailVerified} then now() end)
    on conflict on constraint users_email_key do nothing -- of a server that does not take the lock yet
    returning ${userColumns(tx)}`
  if (!row) throw new AppError('email_taken')
  return row
}

export const selectUser = async (sql: Queryable, id: string): Promise<User | null> => {
  const [row] = await sql<User[]>`
    select ${userColumns(sql)} from users u where u.id = ${id}`
  return row ?? null
}

/** The account of each id, in the order of the ids; null where there is none. `offset 0` keeps it a look-up by key. */
export const selectUserForEach = async (sql: Queryable, ids: string[]): Promise<(User | null)[]> => {
  const rows = await sql<(User & { n: number })[]>`
    select ${userColumns(sql)}, wanted.n::int as n
    from unnest(string_to_array(${ids.join()}, ',')::uuid[]) with ordinality as wanted (id, n)
    cross join lateral (select * from users where id = wanted.id offset 0) u`
  const found = Array.from(ids, (): User | null => null)
  for (const { n, ...user } of rows) found[n - 1] = user
  return found
}

/** @param email trimmed and lower-case. */
export const selectCredentials = async (sql: Queryable, email: string): Promise<Credentials | null> => {
  const [row] = await sql<CredentialsRow[]>`
    select ${credentialColumns(sql)} from users u where u.email = ${email}`
  return credentials(row)
}

export const selectCredentialsById = async (sql: Queryable, id: string): Promise<Credentials | null> => {
  const [row] = await sql<CredentialsRow[]>`
    select ${credentialColumns(sql)} from users u where u.id = ${id}`
  return credentials(row)
}

/** Locks the account against every change of it; with `no key update` rows that refer to it can still be made. */
export const lockUser = async (
  tx: Tx,
  id: string,
  strength: 'no key update' | 'update' = 'update',
): Promise<Credentials | null> => {
  const [row] = await tx<CredentialsRow[]>`
    select ${credentialColumns(tx)} from users u where u.id = ${id}
    ${strength === 'update' ? tx`for update` : tx`for no key update`}`
  return credentials(row)
}

/** The writable fields, as they shall be. A new address has to be verified again. 409 `email_taken`. */
export const updateUser = async (
  tx: Tx,
  { id, email, name, timeZone }: Pick<User, 'id' | 'email' | 'name' | 'timeZone'>,
): Promise<User> => {
  await reserveEmail(tx, email, id)
  const [row] = await tx<User[]>`
    update users u set
      email = ${email}, name = ${name}, name_key = ${nameKey(name)}, name_key_of = ${name},
      time_zone = ${timeZone}, updated_at = now(),
      email_verified_at = case when u.email = ${email} then u.email_verified_at end
    where u.id = ${id}
    returning ${userColumns(tx)}`
  return row!
}

/** Marks the address as verified. */
export const updateEmailVerified = async (tx: Tx, id: string): Promise<User> => {
  const [row] = await tx<User[]>`
    update users u set email_verified_at = coalesce(u.email_verified_at, now()), updated_at = now()
    where u.id = ${id}
    returning ${userColumns(tx)}`
  return row!
}

export const updatePasswordHash = async (tx: Tx, id: string, passwordHash: string): Promise<void> => {
  await tx`
    update users set password_hash = ${passwordHash} where id = ${id}`
}

/** With its sessions, memberships and shares; what it made elsewhere stays without it. */
export const deleteUser = async (tx: Tx, id: string): Promise<void> => {
  await tx`
    delete from users where id = ${id}`
}

/** Others as `viewer` may see them: the address only of oneself, or for admins. */
const publicColumns = (sql: Queryable, viewer: { userId: string; role: Role }) => sql`
  u.id, u.name, ${avatarUrl(sql, 'u')} as "avatarUrl",
  case when ${viewer.role === 'admin'} or u.id = ${viewer.userId} then u.email end as email`

const publicUser = ({ email, ...user }: PublicUser & { email: string | null }): PublicUser =>
  email === null ? user : { ...user, email }

/** Text of which LIKE takes each character for itself. */
const escapeLike = (text: string): string => text.replaceAll(/[\\%_]/g, String.raw`\$&`)

/** The key of a name, or the name in lower case where no key of it has been stored yet. */
const keyOfName = (sql: Queryable) => sql`
  coalesce(case when name_key_of = name then name_key end, lower(name)) collate "C"`

/** A person and the key by which the search orders them. */
export interface FoundUser {
  user: PublicUser
  key: string
}

/**
 * People who share a project with `viewer` and whose folded name begins with the folded `text`, and the person whose
 * e-mail address it is; by name.
 */
export const selectUsersByText = async (
  sql: Queryable,
  viewer: { userId: string; role: Role },
  text: string,
  slice: Slice,
): Promise<FoundUser[]> => {
  const [key = null, id = null] = slice.after ?? []
  const rows = await sql<(PublicUser & { email: string | null; key: string })[]>`
    ${foundByText(sql, viewer, text)}
    select ${publicColumns(sql, viewer)}, u.key
    from found
    cross join lateral (
      select id, name, email, avatar_key, ${keyOfName(sql)} as key from users where id = found.id offset 0
    ) u
    ${slice.after ? sql`where (u.key, u.id) > (${key} collate "C", ${id}::uuid)` : sql``}
    order by u.key, u.id
    limit ${slice.limit + 1} offset ${offsetOf(slice)}`
  return rows.map(({ key: nameOrder, ...row }) => ({ user: publicUser(row), key: nameOrder }))
}

export const countUsersByText = async (
  sql: Queryable,
  viewer: { userId: string },
  text: string,
): Promise<number> => {
  const [row] = await sql<{ count: number }[]>`
    ${foundByText(sql, viewer, text)}
    select count(*)::int as count from found`
  return row!.count
}

/** The ids of the people whom a text finds, as `found`. */
const foundByText = (sql: Queryable, viewer: { userId: string }, text: string) => {
  const key = nameKey(text)
  const [prefix, rawPrefix] = [key, text.toLowerCase()].map(escapeLike)
  return sql`
    with found as (
      select known.id from (
        select distinct theirs.user_id as id
        from members own
        join members theirs on theirs.project_id = own.project_id
        where own.user_id = ${viewer.userId}
      ) known
      -- Offset 0 keeps this a look-up by id for each: joined freely, all accounts may be scanned.
      cross join lateral (
        select ${keyOfName(sql)} as key, name_key_of = name as "isKey", disabled_at
        from users where id = known.id offset 0
      ) named
      where ${key !== ''} and named.disabled_at is null
        and named.key like case when named."isKey" then ${prefix!} else ${rawPrefix!} end || '%'
      union
      select id from users where email = ${canonicalEmail(text)} and disabled_at is null
    )`
}
