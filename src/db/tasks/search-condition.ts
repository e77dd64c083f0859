// The condition of a search: which words are looked up in the index of words, and which are compared in the rows found.
import type { Queryable } from '../client.ts'
import { wordQuery } from './task-words.ts'
import type { Terms } from './word-frequencies.ts'

type Fragment = ReturnType<typeof wordQuery>

export interface SearchFilter {
  /** All of them, compared by their folding. */
  tags?: string[]
  /** All of them, folded, each as a prefix. */
  words?: string[]
  /** Set while some tasks have no words yet: the tsquery of configuration `simple` that searches those. */
  document?: string
  /** Those of `words` and `tags` that too many tasks have for the index of words to be read for them. */
  common?: Terms
}

/** Whether the filter has words or tags. */
export const isSearch = ({ words, tags }: Terms): boolean => (words ?? tags) !== undefined

const isEmpty = ({ words = [], tags = [] }: Terms): boolean => words.length + tags.length === 0

/** The terms that are not common: few tasks have them. */
const drivingTerms = ({ words, tags, common = {} }: SearchFilter): Terms => ({
  words: words?.filter((word) => !common.words?.includes(word)),
  tags: tags?.filter((tag) => !common.tags?.includes(tag)),
})

/** Whether all words are common, so that a page is likely to be among the next tasks of the list. */
export const hasOnlyCommonTerms = (filter: SearchFilter): boolean =>
  isSearch(filter) && isEmpty(drivingTerms(filter))

/*
 * Problem: for a word with an asterisk PostgreSQL collects every task of the index that has it, before it compares the
 * words: `list 1234` in a project whose million tasks all have `list` took 1.5 s to find the 111 that have `1234`. The
 * way chosen: the words that few tasks have are looked up, and the common ones are compared with the words of the rows
 * found. Where all words are common, a page is found among the next tasks in the order of the list (`walkOf`); where it
 * is not among 5,000 of them, the index is read as before.
 */

/**
 * Tasks without words were written by the previous version: they are searched the way it does.
 * @param by whether the index of words may be read, or the rows alone are.
 */
export const textCondition = (
  sql: Queryable,
  filter: SearchFilter,
  project: Fragment | string,
  by: 'index' | 'row',
): Fragment => {
  const { words, tags, document, common } = filter
  // The function of the operator @@, for which no index is read.
  const inRow = (terms: Terms) => sql`and ts_match_vq(t.words, ${wordQuery(sql, terms, project)})`
  if (by === 'row') return inRow(filter)
  const driving = drivingTerms(filter)
  if (common !== undefined && !isEmpty(common) && !isEmpty(driving))
    return sql`and t.words @@ ${wordQuery(sql, driving, project)} ${inRow(common)}`
  const indexed = sql`t.words @@ ${wordQuery(sql, filter, project)}`
  if (document === undefined) return sql`and ${indexed}`
  const before = [
    words ? sql`and t.document @@ to_tsquery('simple', ${document})` : sql``,
    tags ? sql`and t.tags @> ${tags}::text[]` : sql``,
  ]
  return sql`and (${indexed} or t.words is null ${before})`
}
