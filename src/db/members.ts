// Who belongs to which project. Members change only under `lockProject`, so that the last owner and the count
// are what they seem; the count lives in the project's row.
import type { Member, MemberRole } from '../model/project.ts'
import type { Queryable, Tx } from './client.ts'

const columns = (sql: Queryable) => sql`
  m.user_id as "userId", u.name, u.email, null as "avatarUrl", m.role, m.created_at as "createdAt"`

/** 409 `already_member`, 422 `user_not_found`. Does not touch the project's count. */
export const insertMember = async (
  tx: Tx,
  member: { projectId: string; userId: string; role: MemberRole },
): Promise<Member> => {
  const [row] = await tx<Member[]>`
    with m as (
      insert into members (project_id, user_id, role)
      values (${member.projectId}, ${member.userId}, ${member.role})
      returning user_id, role, created_at
    )
    select ${columns(tx)} from m join users u on u.id = m.user_id`
  return row!
}

/** Everybody in the project, by id. */
export const selectMemberIds = async (sql: Queryable, projectId: string): Promise<string[]> => {
  const rows = await sql<{ userId: string }[]>`
    select user_id as "userId" from members where project_id = ${projectId} order by user_id`
  return rows.map((row) => row.userId)
}
