// Which words are in too many tasks for a search to read them from the index of words. Estimates of PostgreSQL's
// statistics, read once a minute. Invariant: they choose the plan of a search, never its result.
import { tagKey } from '../../model/text-form.ts'
import type { Queryable } from '../client.ts'
import { prefixLength, prefixOf } from './task-words.ts'

/** Words and tags of a search. */
export interface Terms {
  words?: string[] | undefined
  tags?: string[] | undefined
}

/** Reading so many entries of the index takes a millisecond. */
const commonFrom = 2_000
/** ANALYZE, which makes the estimates, runs after a tenth of the rows has changed. */
const keptForMs = 60_000

interface Frequent {
  lexeme: string
  count: number
}

export class WordFrequencies {
  #frequent: Promise<Frequent[]> = Promise.resolve([])
  #readAt = -Infinity

  /** The terms that are common in a project; for null in all projects together. */
  async commonOf(sql: Queryable, { words = [], tags = [] }: Terms, projectId: string | null): Promise<Terms> {
    const frequent = await this.#read(sql)
    const start = projectId === null ? null : prefixOf(projectId)
    const countOf = (matches: (text: string) => boolean): number =>
      frequent.reduce((sum, { lexeme, count }) => {
        const isCovered = start === null || lexeme.startsWith(start)
        return isCovered && matches(lexeme.slice(prefixLength)) ? sum + count : sum
      }, 0)
    return {
      words: words.filter((word) => countOf((text) => text.startsWith(word)) >= commonFrom),
      tags: tags.filter((tag) => countOf((text) => text === `#${tagKey(tag)}`) >= commonFrom),
    }
  }

  #read(sql: Queryable): Promise<Frequent[]> {
    if (performance.now() - this.#readAt > keptForMs) {
      this.#readAt = performance.now()
      this.#frequent = selectFrequent(sql)
      this.#frequent.catch(() => (this.#readAt = -Infinity))
    }
    return this.#frequent
  }
}

/** PostgreSQL keeps up to a thousand of the commonest lexemes of all tasks, each with the share of rows that have it. */
const selectFrequent = (sql: Queryable): Promise<Frequent[]> => sql<Frequent[]>`
  select lexeme, greatest(0, share * rows) as count
  from (
    select most_common_elems::text::text[] as lexemes, most_common_elem_freqs as shares,
      (select reltuples from pg_class where oid = 'tasks'::regclass) as rows
    from pg_stats
    where schemaname = current_schema() and tablename = 'tasks' and attname = 'words'
  ) as known, unnest(lexemes, shares) as frequent (lexeme, share)
  where lexeme is not null`
