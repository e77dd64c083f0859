// Projects as rows. A write to a project or its members takes `lockProject` first; what is read after it in
// the same transaction is then current.
import type { MemberRole, ProjectEntry } from '../../model/project.ts'
import { offsetOf, type Slice } from '../../model/page.ts'
import type { Queryable, Tx } from '../client.ts'

export interface ProjectRow extends ProjectEntry {
  /** The version at which a writable field last changed: what If-Match is compared with. */
  contentVersion: number
}

/** A project seen by one person: `role` is null for who is no member. */
export type ProjectRowFor = ProjectRow & { role: MemberRole | null }

const columns = (sql: Queryable) => sql`
  p.id, p.name, p.description, p.color, p.kind, p.archived_at as "archivedAt", p.member_count as "memberCount",
  p.version, p.content_version as "contentVersion", p.created_at as "createdAt", p.updated_at as "updatedAt"`

/** @param project `inboxOf` is whose Inbox it is, null for every other project. */
export const insertProject = async (
  tx: Tx,
  project: {
    id: string
    inboxOf: string | null
    name: string
    description: string
    color: string | null
  },
): Promise<ProjectRow> => {
  const { id, inboxOf, name, description, color } = project
  const [row] = await tx<ProjectRow[]>`
    insert into projects as p (id, kind, inbox_of, name, description, color)
    values (${id}, ${inboxOf === null ? 'project' : 'inbox'}, ${inboxOf}, ${name}, ${description}, ${color})
    returning ${columns(tx)}`
  return row!
}

/** Locks the project until the transaction ends: first of all row locks. Null when there is none. */
export const lockProject = async (tx: Tx, id: string): Promise<ProjectRow | null> => {
  const [row] = await tx<ProjectRow[]>`
    select ${columns(tx)} from projects p where p.id = ${id} for update`
  return row ?? null
}

export interface ProjectAccessRow {
  projectId: string
  kind: 'inbox' | 'project'
  archivedAt: string | null
  member: MemberRole | null
}

/** What a person is in a project; null when there is no such project. */
export const selectProjectAccess = async (
  sql: Queryable,
  userId: string,
  projectId: string,
): Promise<ProjectAccessRow | null> => {
  const [row] = await sql<ProjectAccessRow[]>`
    select p.id as "projectId", p.kind, p.archived_at as "archivedAt", m.role as member
    from projects p
    left join members m on m.project_id = p.id and m.user_id = ${userId}
    where p.id = ${projectId}`
  return row ?? null
}

export const selectProject = async (
  sql: Queryable,
  userId: string,
  projectId: string,
): Promise<ProjectRowFor | null> => {
  const [row] = await sql<ProjectRowFor[]>`
    select ${columns(sql)}, m.role
    from projects p
    left join members m on m.project_id = p.id and m.user_id = ${userId}
    where p.id = ${projectId}`
  return row ?? null
}

/**
 * One project for each pair of user and id, in the order of the pairs; null where it does not exist. `role` is null
 * for a user who is no member. `offset 0` keeps each part a look-up by key.
 */
export const selectProjectForEach = async (
  sql: Queryable,
  pairs: { userId: string; id: string }[],
): Promise<(ProjectRowFor | null)[]> => {
  const rows = await sql<(ProjectRowFor & { n: number })[]>`
    select ${columns(sql)}, m.role, wanted.n::int as n
    from unnest(string_to_array(${pairs.map(({ userId }) => userId).join()}, ',')::uuid[],
      string_to_array(${pairs.map(({ id }) => id).join()}, ',')::uuid[]) with ordinality as wanted (user_id, id, n)
    cross join lateral (select * from projects where id = wanted.id offset 0) p
    left join lateral (
      select role from members where project_id = p.id and user_id = wanted.user_id offset 0) m on true`
  const found = Array.from(pairs, (): ProjectRowFor | null => null)
  for (const { n, ...project } of rows) found[n - 1] = project
  return found
}

/** One person's projects, the Inbox first, then by creation: sorted by kind, createdAt, id. One past the limit. */
export const selectProjects = async (
  sql: Queryable,
  userId: string,
  isArchived: boolean,
  slice: Slice,
): Promise<(ProjectRow & { role: MemberRole })[]> => {
  const [kind = null, createdAt = null, id = null] = slice.after ?? []
  return sql`
    select ${columns(sql)}, m.role
    from members m
    join projects p on p.id = m.project_id
    where m.user_id = ${userId} and (p.archived_at is not null) = ${isArchived}
      ${slice.after ? sql`and (p.kind, p.created_at, p.id) > (${kind}, ${createdAt}, ${id})` : sql``}
    order by p.kind, p.created_at, p.id
    limit ${slice.limit + 1} offset ${offsetOf(slice)}`
}

export const countProjects = async (sql: Queryable, userId: string, isArchived: boolean): Promise<number> => {
  const [row] = await sql<{ count: number }[]>`
    select count(*) as count
    from members m
    join projects p on p.id = m.project_id
    where m.user_id = ${userId} and (p.archived_at is not null) = ${isArchived}`
  return row!.count
}

/** Writes all writable fields. The project must be locked. */
export const updateProject = async (
  tx: Tx,
  id: string,
  fields: Pick<ProjectEntry, 'name' | 'description' | 'color'>,
): Promise<ProjectRow> => {
  const [row] = await tx<ProjectRow[]>`
    update projects as p set
      name = ${fields.name}, description = ${fields.description}, color = ${fields.color},
      version = version + 1, content_version = version + 1, updated_at = clock_timestamp()
    where id = ${id}
    returning ${columns(tx)}`
  return row!
}

/** The project must be locked. */
export const updateArchived = async (tx: Tx, id: string, isArchived: boolean): Promise<ProjectRow> => {
  const [row] = await tx<ProjectRow[]>`
    update projects as p set
      archived_at = case when ${isArchived} then clock_timestamp() end,
      version = version + 1, updated_at = clock_timestamp()
    where id = ${id}
    returning ${columns(tx)}`
  return row!
}

/** Adds to the count of members, 0 for a changed role, and raises the version. The project must be locked. */
export const updateMemberCount = async (tx: Tx, id: string, by: 1 | 0 | -1): Promise<ProjectRow> => {
  const [row] = await tx<ProjectRow[]>`
    update projects as p set
      member_count = member_count + ${by}, version = version + 1, updated_at = clock_timestamp()
    where id = ${id}
    returning ${columns(tx)}`
  return row!
}

/** Deletes the project with its members, tasks and their shares; the tasks' ids stay taken. Lock it first. */
export const deleteProject = async (tx: Tx, id: string): Promise<void> => {
  await tx`
    with gone as (
      delete from tasks where project_id = ${id} returning id
    )
    insert into task_tombstones (id)
    select id from gone
    on conflict do nothing`
  await tx`delete from projects where id = ${id}`
}
