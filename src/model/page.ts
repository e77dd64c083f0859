// A slice of a list, and what answers it: after a sort key (keyset) or by number. The HTTP edge turns keys into
// cursors and back; SQL only sees keys.

/** The values a list is sorted by, of the last item seen; the id comes last, so that no two items are equal. */
export type SortKey = (string | number | null)[]

export interface Slice {
  /** 1..100 */
  limit: number
  /** Items after this key; null starts at the first. */
  after: SortKey | null
  /** Numbered pages instead, from 1; `page` x `limit` is at most `maxPagedItems`. */
  page: number | null
}

/** How many items are skipped before the slice. */
export const offsetOf = ({ page, limit }: Slice): number => (page === null ? 0 : (page - 1) * limit)

/** Numbered pages count and skip; deeper than this only cursors go. */
export const maxPagedItems = 10_000

export interface Listed<T> {
  items: T[]
  /** The key of the last item if there are more, else null. */
  next: SortKey | null
  /** All items of the list; null unless pages are numbered. */
  total: number | null
}

/** From the rows of a query that was asked for one more than `limit`. */
export const listed = <Row, T>(
  rows: Row[],
  limit: number,
  { item, key }: { item: (row: Row) => T; key: (row: Row) => SortKey },
): Listed<T> => ({
  items: rows.slice(0, limit).map(item),
  next: rows.length > limit ? key(rows[limit - 1]!) : null,
  total: null,
})
