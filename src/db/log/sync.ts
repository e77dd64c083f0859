// What a resume needs to know of scopes: access, heads and missed entries, of many scopes by one statement each.
import type { Scope } from '../../model/scope.ts'
import type { Queryable, Tx } from '../client.ts'
import { notInstalled, type Framed } from './feed.ts'
import type { ProjectAccessRow } from '../projects/projects.ts'

export interface ScopeAccess {
  epoch: string
  /** The last number of the scope's shard. */
  head: number
  /** The user's access to the scope's project; null where there is no such project. */
  access: ProjectAccessRow | null
}

/** The heads of shards and a user's access to projects, in the order of `wanted`; the access is exact at the head. */
export const selectStandings = async (
  sql: Queryable,
  userId: string,
  wanted: { shard: number; projectId: string | null }[],
): Promise<ScopeAccess[]> => {
  const rows = await sql<
    (Pick<ScopeAccess, 'epoch' | 'head'> & { [K in keyof ProjectAccessRow]: ProjectAccessRow[K] | null })[]
  >`
    select h.epoch, h.seq as head,
      p.id as "projectId", p.kind, p.archived_at as "archivedAt", m.role as member
    from unnest(${wanted.map(({ shard }) => shard)}::int[], ${wanted.map(({ projectId }) => projectId)}::uuid[])
      with ordinality as wanted (shard, project_id, place)
    join feed_head h on h.shard = wanted.shard
    left join projects p on p.id = wanted.project_id
    left join members m on m.project_id = p.id and m.user_id = ${userId}
    order by wanted.place`
  if (rows.length < wanted.length) throw notInstalled()
  return rows.map(({ epoch, head, projectId: id, kind, archivedAt, member }) => ({
    epoch,
    head,
    access: id === null || kind === null ? null : { projectId: id, kind, archivedAt, member },
  }))
}

/** What a reader of a scope may have missed: the numbers in (after, upTo]. */
export interface Lack {
  scope: Scope
  shard: number
  after: number
  upTo: number
}

export interface Missed {
  /** Entries of the scope in (after, upTo], counted to at most `cap`. */
  entries: number
  /** How many of those are events for sockets. */
  events: number
  /** Whether one of them granted or revoked access to the scope: the user may not read all of them. */
  changedHands: boolean
  /** Whether the shard still holds every entry after `after`. */
  complete: boolean
}

const nothing: Missed = { entries: 0, events: 0, changedHands: false, complete: true }

/**
 * What a reader has missed of scopes, in the order of `lacks`. Entries up to a head never change, so this may run after
 * the head was read; `complete` is false if retention removed the oldest meanwhile.
 */
export const selectMissed = async (
  sql: Queryable,
  { lacks, userId, cap }: { lacks: Lack[]; userId: string; cap: number },
): Promise<Missed[]> => {
  const behind = lacks.filter(({ after, upTo }) => after !== upTo)
  if (behind.length === 0) return lacks.map(() => nothing)
  const rows = await sql<Missed[]>`
    select missed.entries, missed.events,
      exists (
        select from feed
        where scope = lack.scope and seq > lack.after and seq <= lack.up_to
          and (control is not null or type = 'member.added')
          and (
            control->>'kind' = 'delete'
            or control->>'kind' = 'revoke' and control->>'userId' = ${userId}::text
            or type = 'member.added' and entity_id = ${userId})) as "changedHands",
      exists (select from feed where shard = lack.shard and seq = lack.after + 1) as complete
    from unnest(
        ${behind.map(({ scope }) => scope)}::text[], ${behind.map(({ shard }) => shard)}::int[],
        ${behind.map(({ after }) => after)}::bigint[], ${behind.map(({ upTo }) => upTo)}::bigint[])
      with ordinality as lack (scope, shard, after, up_to, place)
    cross join lateral (
      select count(*)::int as entries, count(frame)::int as events
      from (
        select frame from feed where scope = lack.scope and seq > lack.after and seq <= lack.up_to limit ${cap}
      ) as capped
    ) as missed
    order by lack.place`
  const found = new Map(behind.map((lack, index) => [lack, rows[index]!]))
  return lacks.map((lack) => found.get(lack) ?? nothing)
}

/**
 * Entries of a scope with numbers in (after, upTo], ascending, at most `limit`; the page ends once its frames exceed
 * `maxBytes`, and has at least one entry where there is one.
 */
export const readScopePage = (
  tx: Tx,
  { scope, after, upTo }: Lack,
  { limit, maxBytes }: { limit: number; maxBytes: number },
): Promise<Framed[]> => tx<Framed[]>`
  select feed.seq, feed.scope, feed.control, feed.frame
  from (
    select shard, seq, at, sum(bytes) over (order by seq rows unbounded preceding) - bytes as before
    from (
      select shard, seq, at, coalesce(octet_length(frame), 0) as bytes
      from feed
      where scope = ${scope} and seq > ${after} and seq <= ${upTo}
      order by seq
      limit ${limit}
    ) as ahead
  ) as page
  join feed on feed.shard = page.shard and feed.seq = page.seq and feed.at = page.at
  where page.before < ${maxBytes}
  order by feed.seq`
