// How every list but that of tasks is read: a slice after a key is one query; numbered pages also count, in one
// snapshot, so that the total is the total of the same moment.
import type { CallerDatabase, Queryable } from '../db/client.ts'
import { listed, type Listed, type Slice, type SortKey } from '../model/page.ts'

interface ListQuery<Row, T> {
  /** The rows of the slice, one more than `limit` where there are more. Authorizes, too. */
  select(sql: Queryable): Promise<Row[]>
  count(sql: Queryable): Promise<number>
  item(row: Row): T
  key(row: Row): SortKey
}

export const readList = async <Row, T>(
  { db }: { db: CallerDatabase },
  caller: string,
  slice: Slice,
  query: ListQuery<Row, T>,
): Promise<Listed<T>> => {
  if (slice.page === null)
    return listed(await db.of(caller).read((sql) => query.select(sql)), slice.limit, query)
  return db.of(caller).snapshot(async (tx) => {
    const page = listed(await query.select(tx), slice.limit, query)
    return { ...page, total: await query.count(tx) }
  })
}
