// What consumers of the log derive from it beside notifications: the activity of projects, and the announcements of
// changed profiles to their members. Each is due once, and the rules here are stated without those of the product.
import type { Database } from '../../src/db/client.ts'
import { compare, type NoticeDifferences } from './notices.ts'

export interface Effects extends NoticeDifferences {
  /** How many are due. */
  due: number
}

/** Entries of a project that are activity, as far as their type says. */
const activityTypes = [
  'task.created',
  'task.updated',
  'task.deleted',
  'comment.created',
  'comment.updated',
  'comment.deleted',
  'attachment.added',
  'attachment.removed',
  'share.added',
  'share.removed',
  'member.added',
  'member.updated',
  'member.removed',
  'project.created',
  'project.updated',
  'project.deleted',
]

/** Fields that follow another change, which is activity of its own: an entry that changes no other field is none. */
const derivedFields = {
  'task.updated': ['commentCount', 'attachmentCount'],
  'member.updated': ['name', 'avatarUrl'],
  'project.updated': ['memberCount'],
}

/** Compares the activity of the projects with their log. Call it when the consumers have read the log. */
export const checkActivity = async (db: Database, projects: readonly { id: string }[]): Promise<Effects> => {
  const ids = projects.map(({ id }) => id)
  const due = await db.read(
    (sql) => sql<{ line: string }[]>`
      select concat_ws(' ', type, substr(scope, 9), entity_id, actor_id, at) as line from feed
      where scope = any(${ids.map((id) => `project:${id}`)}) and type = any(${activityTypes})
        and entity_id is not null and (
          not (${JSON.stringify(derivedFields)}::text::jsonb ? type)
          or exists (
            select from jsonb_object_keys(coalesce(changes, '{}')) field
            where not (${JSON.stringify(derivedFields)}::text::jsonb -> type ? field)))`,
  )
  // Reads by the right of admins are noted beside the log.
  const found = await db.read(
    (sql) => sql<{ line: string }[]>`
      select concat_ws(' ', type, project_id, case when type like 'share.%' then task_id else entity_id end,
        actor_id, created_at) as line
      from activity where project_id = any(${ids}::uuid[]) and type <> 'project.read'`,
  )
  const linesOf = (rows: { line: string }[]): string[] => rows.map(({ line }) => line)
  return { due: due.length, ...compare('in the activity', linesOf(due), linesOf(found)) }
}

/**
 * Compares the announcements in a project of its members' new names with those that were acknowledged. Call it when the
 * consumers have read the log.
 * @param changes `user name` of each.
 */
export const checkProfiles = async (
  db: Database,
  projectId: string,
  changes: readonly string[],
): Promise<Effects> => {
  const found = await db.read(
    (sql) => sql<{ line: string }[]>`
      select concat_ws(' ', entity_id, changes->'name'->>'to') as line from feed
      where scope = ${`project:${projectId}`} and type = 'member.updated' and changes ? 'name'`,
  )
  const announced = found.map(({ line }) => line)
  return { due: changes.length, ...compare('announced to the members', changes, announced) }
}
