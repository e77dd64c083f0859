// Lists, a page at a time or all of it: `for await (const task of client.tasks.list({…}))` reads pages as needed.
import type { Query } from './request.ts'
import type { HttpClient } from './http-client.ts'
import type { Path } from './path.ts'

export interface Page<T> {
  items: T[]
  /** Null at the end. */
  nextCursor: string | null
  /** Of numbered pages. */
  page?: number
  total?: number
  totalPages?: number
}

export interface PageQuery {
  /** Items a page, 1..100. */
  limit?: number
  cursor?: string
  /** Numbered pages with totals, instead of a cursor. */
  page?: number
}

/** A list: iterate over its items, or read one page. No request is sent before that. */
export interface List<T, P extends Page<T> = Page<T>> extends AsyncIterable<T> {
  /** The page of the query; the first without `cursor` and `page`. */
  page(signal?: AbortSignal): Promise<P>
  /** Every item in memory; throws RangeError beyond `max`. */
  all(options?: { max?: number; signal?: AbortSignal }): Promise<T[]>
}

export const list = <T, P extends Page<T> = Page<T>>(
  http: HttpClient,
  path: Path,
  query: Query = {},
): List<T, P> => {
  const read = (more: Query, signal?: AbortSignal): Promise<P> =>
    http.value<P>({ method: 'GET', path, query: { ...query, ...more }, signal })

  async function* items(signal?: AbortSignal): AsyncGenerator<T> {
    let page = await read({}, signal)
    for (;;) {
      yield* page.items
      // From a numbered page, too: the cursor reaches beyond the deepest page and is not moved by what changes before it.
      if (page.nextCursor !== null) page = await read({ page: undefined, cursor: page.nextCursor }, signal)
      // A server of an earlier version gives no cursor with numbered pages of tasks.
      else if (page.page !== undefined && page.page < (page.totalPages ?? 0))
        page = await read({ page: page.page + 1 }, signal)
      else return
    }
  }

  return {
    page: (signal) => read({}, signal),
    async all({ max = 10_000, signal } = {}) {
      const found: T[] = []
      for await (const item of items(signal)) {
        if (found.length === max) throw new RangeError(`the list has more than ${max} items: iterate over it`)
        found.push(item)
      }
      return found
    },
    [Symbol.asyncIterator]: () => items(),
  }
}
