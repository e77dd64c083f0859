// Heads of scopes: the number of the last entry of each. Every write appends to the scopes of what it changes in its
// own transaction, so equal heads mean that nothing in these scopes changed between two reads of them.
import type { Scope } from '../../model/scope.ts'
import { projectScope, userScope } from '../../model/scope.ts'
import type { Queryable } from '../client.ts'
import { notInstalled } from './feed.ts'

/** Scopes and the heads they had: what a kept answer is valid for. */
export interface ScopeHeads {
  scopes: readonly Scope[]
  /** The epoch of the log and the heads, in the order of the scopes, as text that is compared with that of a later read. */
  heads: string
}

/** The head of a user's scope, for the row that shows the user. @param id SQL of the user's id. */
export const userHead = (sql: Queryable, id: ReturnType<Queryable>): ReturnType<Queryable> => sql`
  coalesce((select seq from scope_head where scope = ${userScope('')} || ${id}), 0)::text as "userHead"`

/** The heads of several lists of scopes by one statement, in the order of the lists; 0 for a scope without entries. */
export const selectHeadsForEach = async (
  sql: Queryable,
  lists: readonly (readonly Scope[])[],
): Promise<string[]> => {
  const scopes = [...new Set(lists.flat())]
  const [row] = await sql<{ epoch: string; seqs: string }[]>`
    select epoch, array_to_string(array(
      select coalesce((select seq from scope_head where scope = wanted.scope), 0)
      from string_to_table(${scopes.join()}, ',') with ordinality as wanted (scope, n)
      order by n
    ), ',') as seqs
    from feed_head where shard = 0`
  if (!row) throw notInstalled()
  const seqs = row.seqs.split(',')
  const seqOf = new Map(scopes.map((scope, index) => [scope, seqs[index]]))
  return lists.map((list) => `${row.epoch} ${list.map((scope) => seqOf.get(scope)).join()}`)
}

/**
 * The scopes whose entries announce every change of what a user may read in lists across projects, with their heads: the
 * user's own, those of the user's projects, and those of the projects of tasks shared with the user. Null where they are
 * more than `most`.
 */
export const selectReadableHeads = async (
  sql: Queryable,
  userId: string,
  most: number,
): Promise<ScopeHeads | null> => {
  const rows = await sql<{ id: string | null; seq: string; epoch: string }[]>`
    select home.id, coalesce((
        select seq from scope_head
        where scope = case when home.id is null then ${userScope(userId)} else ${projectScope('')} || home.id end
      ), 0)::text as seq, (select epoch from feed_head where shard = 0) as epoch
    from (
      select null::uuid as id
      union all
      (
        select project_id from members where user_id = ${userId}
        union
        select t.project_id
        from shares s cross join lateral (select project_id from tasks where id = s.task_id offset 0) t
        where s.user_id = ${userId}
        limit ${most}
      )
    ) home
    limit ${most + 1}`
  if (rows.length > most) return null
  return {
    scopes: rows.map(({ id }) => (id === null ? userScope(userId) : projectScope(id))),
    heads: `${rows[0]!.epoch} ${rows.map(({ seq }) => seq).join()}`,
  }
}
