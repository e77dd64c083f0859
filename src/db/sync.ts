// What joining a scope needs to know of it.
import type { Scope } from '../model/event.ts'
import type { Queryable } from './client.ts'
import { notInstalled } from './feed.ts'
import type { ProjectAccessRow } from './projects.ts'

export interface Standing {
  epoch: string
  /** The last number of the scope's shard. */
  head: number
  /** What the person is in the scope's project; null where there is none. */
  access: ProjectAccessRow | null
}

/** The head of a shard and what a person is in a project, by one statement: both are true at the head. */
export const selectStanding = async (
  sql: Queryable,
  { shard, projectId, userId }: { shard: number; projectId: string | null; userId: string },
): Promise<Standing> => {
  const [row] = await sql<
    (Pick<Standing, 'epoch' | 'head'> & { [K in keyof ProjectAccessRow]: ProjectAccessRow[K] | null })[]
  >`
    select h.epoch, h.seq as head,
      p.id as "projectId", p.kind, p.archived_at as "archivedAt", m.role as member
    from feed_head h
    left join projects p on p.id = ${projectId}
    left join members m on m.project_id = p.id and m.user_id = ${userId}
    where h.shard = ${shard}`
  if (!row) throw notInstalled()
  const { epoch, head, projectId: id, kind, archivedAt, member } = row
  return {
    epoch,
    head,
    access: id === null || kind === null ? null : { projectId: id, kind, archivedAt, member },
  }
}

export interface Missed {
  /** Entries of the scope in (after, upTo], counted to at most `cap`. */
  entries: number
  /** How many of those are events for sockets. */
  events: number
  /** Whether one of them gave or took the scope: not all of them are this person's to read. */
  changedHands: boolean
  /** Whether the shard still holds every entry after `after`. */
  complete: boolean
}

/**
 * What a reader at `after` has missed of a scope. Entries up to a head that was seen stay as they are, so this may be
 * asked after it; if the oldest have been dropped meanwhile it is not complete.
 */
export const selectMissed = async (
  sql: Queryable,
  missed: { scope: Scope; shard: number; after: number; upTo: number; userId: string; cap: number },
): Promise<Missed> => {
  const { scope, shard, after, upTo, userId, cap } = missed
  if (after === upTo) return { entries: 0, events: 0, changedHands: false, complete: true }
  const [row] = await sql<Missed[]>`
    select count(*)::int as entries, count(frame)::int as events,
      exists (
        select from feed
        where scope = ${scope} and seq > ${after} and seq <= ${upTo}
          and (control is not null or type = 'member.added')
          and (
            control->>'kind' = 'delete'
            or control->>'kind' = 'revoke' and control->>'userId' = ${userId}
            or type = 'member.added' and entity_id = ${userId})) as "changedHands",
      exists (select from feed where shard = ${shard} and seq = ${after} + 1) as complete
    from (
      select frame from feed where scope = ${scope} and seq > ${after} and seq <= ${upTo} limit ${cap}) as capped`
  return row!
}
