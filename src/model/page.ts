// A requested slice of a list and its result: after a sort key (keyset) or by page number. The HTTP layer encodes keys
// as cursors; SQL receives keys only.

/** The sort values of the last item seen; the id comes last, so that no two keys are equal. */
export type SortKey = (string | number | null)[]

export interface Slice {
  /** 1..100 */
  limit: number
  /** Items after this key; null starts at the first. */
  after: SortKey | null
  /** A page number from 1 instead of a key; `page` x `limit` is at most `maxPagedItems`. */
  page: number | null
}

/** How many items are skipped before the slice. */
export const offsetOf = ({ page, limit }: Pick<Slice, 'page' | 'limit'>): number =>
  page === null ? 0 : (page - 1) * limit

/** The last item that numbered pages reach: they count and skip rows. Cursors have no such limit. */
export const maxPagedItems = 10_000

export interface Listed<T> {
  items: T[]
  /** The key of the last item if there are more, else null. */
  next: SortKey | null
  /** All items of the list; null unless pages are numbered. */
  total: number | null
}

/** The result from the rows of a query with `limit + 1`. */
export const listed = <Row, T>(
  rows: Row[],
  limit: number,
  { item, key }: { item: (row: Row) => T; key: (row: Row) => SortKey },
): Listed<T> => ({
  items: rows.slice(0, limit).map(item),
  next: rows.length > limit ? key(rows[limit - 1]!) : null,
  total: null,
})
