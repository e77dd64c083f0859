// Who belongs to which project. Members change only under `lockProject`, so that the last owner and the count
// are what they seem; the count lives in the project's row.
import type { Member, MemberRole } from '../../model/project.ts'
import { offsetOf, type Slice } from '../../model/page.ts'
import type { Queryable, Tx } from '../client.ts'
import { avatarUrl } from '../users/avatar-url.ts'
import { userHead } from '../log/scope-heads.ts'

/** A member with its address, which is for admins alone (`memberFor`). */
export type MemberRow = Member & { email: string }

const columns = (sql: Queryable) => sql`
  m.user_id as "userId", u.name, ${avatarUrl(sql, 'u')} as "avatarUrl", m.role, m.created_at as "createdAt", u.email`

/** 409 `already_member`, 422 `user_not_found`. Does not touch the project's count. */
export const insertMember = async (
  tx: Tx,
  member: { projectId: string; userId: string; role: MemberRole },
): Promise<MemberRow> => {
  const [row] = await tx<MemberRow[]>`
    with m as (
      insert into members (project_id, user_id, role)
      values (${member.projectId}, ${member.userId}, ${member.role})
      returning user_id, role, created_at
    )
    select ${columns(tx)} from m join users u on u.id = m.user_id`
  return row!
}

/** The ids of all members, ascending. */
export const selectMemberIds = async (sql: Queryable, projectId: string): Promise<string[]> => {
  const rows = await sql<{ userId: string }[]>`
    select user_id as "userId" from members where project_id = ${projectId} order by user_id`
  return rows.map((row) => row.userId)
}

/** Null when that person is no member. */
export const selectMember = async (
  sql: Queryable,
  projectId: string,
  userId: string,
): Promise<MemberRow | null> => {
  const [row] = await sql<MemberRow[]>`
    select ${columns(sql)}
    from members m
    join users u on u.id = m.user_id
    where m.project_id = ${projectId} and m.user_id = ${userId}`
  return row ?? null
}

/** Every membership of these people, by project. */
export const selectMemberships = (
  sql: Queryable,
  userIds: string[],
): Promise<(MemberRow & { projectId: string })[]> =>
  sql<(MemberRow & { projectId: string })[]>`
    select m.project_id as "projectId", ${columns(sql)}
    from members m
    join users u on u.id = m.user_id
    where m.user_id = any(${userIds}::uuid[])
    order by m.project_id`

/** Share-locks the projects that these users are members of, by ascending id. */
export const lockProjectsOf = async (tx: Tx, userIds: string[]): Promise<void> => {
  await tx`
    select from projects
    where id in (select project_id from members where user_id = any(${userIds}::uuid[]))
    order by id
    for share`
}

/** In the order they joined: sorted by createdAt, userId. One past the limit. */
export const selectMembers = async (
  sql: Queryable,
  projectId: string,
  slice: Slice,
): Promise<(MemberRow & { userHead: string })[]> => {
  const [createdAt = null, userId = null] = slice.after ?? []
  return sql`
    select ${columns(sql)}, ${userHead(sql, sql`m.user_id`)}
    from members m
    join users u on u.id = m.user_id
    where m.project_id = ${projectId}
      ${slice.after ? sql`and (m.created_at, m.user_id) > (${createdAt}, ${userId})` : sql``}
    order by m.created_at, m.user_id
    limit ${slice.limit + 1} offset ${offsetOf(slice)}`
}

export const countMembers = async (sql: Queryable, projectId: string): Promise<number> => {
  const [row] = await sql<{ count: number }[]>`
    select count(*) as count from members where project_id = ${projectId}`
  return row!.count
}

/** Whether a user other than `userId` owns the project. True only as long as the project is locked. */
export const hasOtherOwner = async (tx: Tx, projectId: string, userId: string): Promise<boolean> => {
  const [row] = await tx<{ found: boolean }[]>`
    select exists (
      select from members
      where project_id = ${projectId} and role = 'owner' and user_id <> ${userId}
    ) as found`
  return row!.found
}

/** The project must be locked. */
export const updateMemberRole = async (
  tx: Tx,
  member: { projectId: string; userId: string; role: MemberRole },
): Promise<void> => {
  await tx`
    update members set role = ${member.role}
    where project_id = ${member.projectId} and user_id = ${member.userId}`
}

/** The project must be locked. Does not touch its count. */
export const deleteMember = async (tx: Tx, projectId: string, userId: string): Promise<void> => {
  await tx`delete from members where project_id = ${projectId} and user_id = ${userId}`
}

/** The id of the person with this id or e-mail address, null where there is none. */
export const selectUserId = async (
  sql: Queryable,
  who: { userId: string } | { email: string },
): Promise<string | null> => {
  const [row] = await sql<{ id: string }[]>`
    select id from users
    where ${'userId' in who ? sql`id = ${who.userId}` : sql`email = ${who.email}`}`
  return row?.id ?? null
}

/** Whether both belong to one project at least. */
export const sharesProject = async (sql: Queryable, userId: string, otherId: string): Promise<boolean> => {
  const [row] = await sql<{ found: boolean }[]>`
    select exists (
      select from members own
      join members theirs on theirs.project_id = own.project_id and theirs.user_id = ${otherId}
      where own.user_id = ${userId}
    ) as found`
  return row!.found
}
