// How every list but that of tasks is read: a slice after a key is one query; numbered pages also count, in one
// snapshot, so that the total is the total of the same moment. A list comes with the heads at which it is exact.
import type { CallerDatabase, Queryable } from '../db/client.ts'
import type { ScopeHeads } from '../db/log/scope-heads.ts'
import type { Reads } from '../db/reads.ts'
import type { Actor } from '../model/actor.ts'
import { listed, type Listed, type Slice, type SortKey } from '../model/page.ts'
import { userScope, type Scope } from '../model/scope.ts'

/**
 * A list and the heads at which it is exact: while they are the same, reading it again returns the same. Null where
 * something without an entry changes it, such as the clock.
 */
export type ListedAt<T> = Listed<T> & { heads: ScopeHeads | null }

/** A list of more scopes is not kept: comparing their heads would cost what reading it costs. */
export const maxScopes = 200

export interface ListDeps {
  db: CallerDatabase
  reads: Pick<Reads, 'heads'>
}

/** Heads of the actor's own scope, which announces changes of access, and of others. */
export const headsOf = async (
  { reads }: Pick<ListDeps, 'reads'>,
  { userId }: Actor,
  others: Scope[],
): Promise<ScopeHeads> => {
  const scopes = [userScope(userId), ...others]
  return { scopes, heads: await reads.heads(userId, scopes) }
}

export interface ListQuery<Row, T> {
  /**
   * Heads of the scopes whose entries announce every change of the list, but for those in `rowHead`. Read first. Absent
   * where no entries do: the answer is not kept.
   */
  heads?(sql: Queryable): Promise<ScopeHeads | null>
  /** The rows of the slice, one more than `limit` where there are more. Authorizes, too. */
  select(sql: Queryable): Promise<Row[]>
  count(sql: Queryable): Promise<number>
  item(row: Row): T
  key(row: Row): SortKey
  /** Asked after the rows were read: whether `heads` were those of the right scopes. */
  isExact?(): boolean
  /** The scope of the user that a row shows, and its head in the statement of the row; null where it shows none. */
  rowHead?: (row: Row) => [Scope, string] | null
}

export const readList = async <Row, T>(
  { db }: { db: CallerDatabase },
  caller: string,
  slice: Slice,
  query: ListQuery<Row, T>,
): Promise<ListedAt<T>> => {
  const read = async (sql: Queryable): Promise<ListedAt<T>> => {
    const heads = (await query.heads?.(sql)) ?? null
    const rows = await query.select(sql)
    const total = slice.page === null ? null : await query.count(sql)
    const isExact = query.isExact?.() ?? true
    const page = { ...listed(rows, slice.limit, query), total }
    return { ...page, heads: isExact && heads ? headsWith(heads, rows, query) : null }
  }
  return slice.page === null ? db.of(caller).read(read) : db.of(caller).snapshot(read)
}

/** A row as it is shown: the head of its user is for `rowHead` alone. */
export const withoutUserHead = <Row extends { userHead: string }>(row: Row): Omit<Row, 'userHead'> => {
  const { userHead: _, ...shown } = row
  return shown
}

const headsWith = <Row, T>(before: ScopeHeads, rows: Row[], { rowHead }: ListQuery<Row, T>): ScopeHeads =>
  rowHead === undefined
    ? before
    : withHeads(
        before,
        rows.map(rowHead).filter((head) => head !== null),
      )

/** Adds scopes whose heads were read in the statement of the rows. */
export const withHeads = ({ scopes, heads }: ScopeHeads, more: [Scope, string][]): ScopeHeads => ({
  scopes: [...scopes, ...more.map(([scope]) => scope)],
  heads: [heads, ...more.map(([, head]) => head)].join(),
})
