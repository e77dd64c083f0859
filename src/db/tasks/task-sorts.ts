// The orders of lists of tasks: sort expressions, and the condition of what comes after a key.
import type { SortKey } from '../../model/page.ts'
import { priorities, statuses } from '../../model/task.ts'
import type { Queryable } from '../client.ts'
import type { taskColumns } from './task-columns.ts'

type Fragment = ReturnType<typeof taskColumns>

export const taskSorts = ['createdAt', 'updatedAt', 'dueAt', 'priority', 'title', 'status', 'rank'] as const
export type TaskSort = (typeof taskSorts)[number]

export interface TaskOrder {
  by: TaskSort
  descending: boolean
}

/** Sort expressions, the same as in the indexes of sql/; `cast` is the type of a key from a cursor. */
const orders = (sql: Queryable): Record<TaskSort, { key: Fragment; cast: Fragment }> => ({
  createdAt: { key: sql`t.created_at`, cast: sql`::timestamptz` },
  updatedAt: { key: sql`t.updated_at`, cast: sql`::timestamptz` },
  dueAt: { key: sql`t.due_at`, cast: sql`::timestamptz` },
  priority: { key: sql`array_position(${words(sql, priorities)}, t.priority)`, cast: sql`::int` },
  title: { key: sql`(coalesce(t.title_key, lower(t.title)) collate "C")`, cast: sql`::text` },
  status: { key: sql`array_position(${words(sql, statuses)}, t.status)`, cast: sql`::int` },
  rank: { key: sql`t.rank`, cast: sql`::text` },
})

/** Literals, so that the planner sees the expression of the index. */
const words = (sql: Queryable, list: typeof priorities | typeof statuses): Fragment =>
  list === priorities
    ? sql`array['low', 'medium', 'high', 'urgent']`
    : sql`array['todo', 'in_progress', 'done', 'cancelled']`

const afterKey = (
  sql: Queryable,
  { key, cast, descending, after }: { key: Fragment; cast: Fragment; descending: boolean; after: SortKey },
): Fragment => {
  const [value, id] = [after[0] ?? null, String(after[1])]
  const beyond = descending ? sql`<` : sql`>`
  return value === null
    ? sql`and t.id ${beyond} ${id}::uuid`
    : sql`and (${key}, t.id) ${beyond} (${value}${cast}, ${id}::uuid)`
}

/** SQL of an order of `tasks t`. */
export const orderOf = (sql: Queryable, { by, descending }: TaskOrder) => {
  const { key, cast } = orders(sql)[by]
  const direction = descending ? sql`desc` : sql`asc`
  return {
    key,
    ordered: sql`order by ${key} ${direction}, t.id ${direction}`,
    /** The condition of what comes after a key, with `and`. */
    beyond: (after: SortKey | null): Fragment =>
      after === null ? sql`` : afterKey(sql, { key, cast, descending, after }),
  }
}
