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

/** The head of a shard and a user's access to a project there. */
export interface WantedAccess {
  userId: string
  shard: number
  projectId: string | null
}

/** In the order of `wanted`; the access is exact at the head. */
export const selectStandings = async (sql: Queryable, wanted: WantedAccess[]): Promise<ScopeAccess[]> => {
  // Many connections of few users ask for few scopes.
  const { distinct, places } = distinctBy(wanted, (one) => `${one.userId} ${one.shard} ${one.projectId}`)
  const rows = await sql<
    (Pick<ScopeAccess, 'epoch' | 'head'> & { [K in keyof ProjectAccessRow]: ProjectAccessRow[K] | null })[]
  >`
    select h.epoch, h.seq as head,
      p.id as "projectId", p.kind, p.archived_at as "archivedAt", m.role as member
    from unnest(
        ${distinct.map(({ userId }) => userId)}::uuid[], ${distinct.map(({ shard }) => shard)}::int[],
        ${distinct.map(({ projectId }) => projectId)}::uuid[])
      with ordinality as wanted (user_id, shard, project_id, place)
    join feed_head h on h.shard = wanted.shard
    left join lateral (select * from projects where id = wanted.project_id offset 0) p on true
    left join lateral (
      select role from members where project_id = p.id and user_id = wanted.user_id offset 0) m on true
    order by wanted.place`
  if (rows.length < distinct.length) throw notInstalled()
  const standings = rows.map(({ epoch, head, projectId: id, kind, archivedAt, member }) => ({
    epoch,
    head,
    access: id === null || kind === null ? null : { projectId: id, kind, archivedAt, member },
  }))
  return places.map((place) => standings[place]!)
}

/** The distinct values, and of each value the place among them. */
const distinctBy = <T>(values: readonly T[], keyOf: (value: T) => string) => {
  const placeOf = new Map<string, number>()
  const distinct: T[] = []
  const places = values.map((value) => {
    const key = keyOf(value)
    const held = placeOf.get(key)
    if (held !== undefined) return held
    placeOf.set(key, distinct.length)
    return distinct.push(value) - 1
  })
  return { distinct, places }
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

/** A lack and its reader. */
export interface ReaderLack extends Lack {
  userId: string
}

interface MissedRow extends Omit<Missed, 'changedHands'> {
  isDeleted: boolean
  /** Users whose access one of the entries granted or revoked. */
  users: string[]
}

/**
 * What readers have missed of scopes, in the order of `lacks`, of which equal ones are read once. Entries up to a head never
 * change, so this may run after the head was read; `complete` is false if retention removed the oldest meanwhile.
 */
export const selectMissed = async (sql: Queryable, lacks: ReaderLack[], cap: number): Promise<Missed[]> => {
  const behind = lacks.filter(({ after, upTo }) => after !== upTo)
  if (behind.length === 0) return lacks.map(() => nothing)
  const { distinct, places } = distinctBy(behind, ({ scope, after, upTo }) => `${scope} ${after} ${upTo}`)
  const rows = await sql<MissedRow[]>`
    select missed.entries, missed.events, controls."isDeleted", controls.users,
      exists (select from feed where shard = lack.shard and seq = lack.after + 1) as complete
    from unnest(
        ${distinct.map(({ scope }) => scope)}::text[], ${distinct.map(({ shard }) => shard)}::int[],
        ${distinct.map(({ after }) => after)}::bigint[], ${distinct.map(({ upTo }) => upTo)}::bigint[])
      with ordinality as lack (scope, shard, after, up_to, place)
    cross join lateral (
      select
        coalesce(bool_or(control->>'kind' = 'delete'), false) as "isDeleted",
        coalesce(
          array_agg(case when control->>'kind' = 'revoke' then control->>'userId' else entity_id::text end)
            filter (where control->>'kind' = 'revoke' or type = 'member.added'),
          '{}') as users
      from feed
      where scope = lack.scope and seq > lack.after and seq <= lack.up_to
        and (control is not null or type = 'member.added')
    ) as controls
    cross join lateral (
      select count(*)::int as entries, count(frame)::int as events
      from (
        select frame from feed where scope = lack.scope and seq > lack.after and seq <= lack.up_to limit ${cap}
      ) as capped
    ) as missed
    order by lack.place`
  const found = new Map(
    behind.map((lack, index) => [lack, missedBy(lack.userId, rows[places[index]!]!)] as const),
  )
  return lacks.map((lack) => found.get(lack) ?? nothing)
}

const missedBy = (userId: string, { entries, events, complete, isDeleted, users }: MissedRow): Missed => ({
  entries,
  events,
  complete,
  changedHands: isDeleted || users.includes(userId),
})

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
