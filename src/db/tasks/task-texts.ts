// Single tasks as JSON text, each with a user's access to it. Invariant: a text is returned only for the version that
// the statement of the read found.
import type { MemberRole } from '../../model/project.ts'
import { BoundedCache } from '../../async/bounded-cache.ts'
import type { Queryable } from '../client.ts'
import { taskJson } from './task-columns.ts'

/** A task as one user sees it. */
export interface TaskText {
  version: number
  /** The task as JSON. */
  text: string
  member: MemberRole | null
  share: 'view' | 'edit' | null
}

interface Rendered {
  version: number
  updatedAt: string
  text: string
}

interface Row extends Pick<TaskText, 'member' | 'share' | 'version'> {
  n: number
  /** Null where the version is the one whose text is known. */
  json: string | null
  updatedAt: string | null
}

const defaultMaxBytes = 16 * 1024 * 1024
/** What an entry weighs besides its text. */
const entryBytes = 400

/*
 * Problem: of the 15 µs that a task costs in a statement for 64, a third goes into reading 19 columns and making the same
 * JSON of them as the time before. The naive way, a cache of answers, is stale after a write on another process. The way
 * chosen: every change of what a task shows raises its version in the same transaction, so a text is a function of id and
 * version. The statement receives the version whose text is here and returns the task only where it has another,
 * as JSON: a row of six columns, where nineteen that are mostly null took the driver longer than the rest of the row.
 * It is as fresh as reading them. `updated_at` is compared too, because a database that was restored from a
 * backup gives the same version to another change.
 */
export class TaskTexts {
  readonly #rendered: BoundedCache<string, Rendered>

  constructor(maxBytes = defaultMaxBytes) {
    const maxEntries = Math.floor(maxBytes / entryBytes)
    this.#rendered = new BoundedCache({ maxEntries, maxWeight: maxBytes })
  }

  /** Of all texts. */
  get bytes(): number {
    return this.#rendered.weight
  }

  /**
   * One task for each pair of user and id, in the order of the pairs; null where it does not exist. The caller decides
   * whether the user may read it. `offset 0` keeps each part a look-up by key: joined freely, a planner that expects
   * many pairs reads whole tables.
   */
  async selectForEach(sql: Queryable, pairs: { userId: string; id: string }[]): Promise<(TaskText | null)[]> {
    const known = pairs.map(({ id }) => this.#rendered.get(id))
    const rows = await sql<Row[]>`
      select
        wanted.n::int as n, found.version, m.role as member, s.permission as share, t.json, t.updated_at as "updatedAt"
      from unnest(
        string_to_array(${pairs.map(({ userId }) => userId).join()}, ',')::uuid[],
        string_to_array(${pairs.map(({ id }) => id).join()}, ',')::uuid[],
        string_to_array(${known.map((one) => one?.version ?? '').join()}, ',', '')::bigint[],
        string_to_array(${known.map((one) => one?.updatedAt ?? '').join()}, ',', '')::timestamptz[]
      ) with ordinality as wanted (user_id, id, version, updated_at, n)
      cross join lateral (
        select id, project_id, version, updated_at from tasks where id = wanted.id offset 0) found
      left join lateral (
        select role from members where project_id = found.project_id and user_id = wanted.user_id offset 0) m on true
      left join lateral (
        select permission from shares where task_id = found.id and user_id = wanted.user_id offset 0) s on true
      left join lateral (
        select ${taskJson(sql)} as json, t.updated_at from tasks t
        where t.id = found.id and (found.version, found.updated_at) is distinct from (wanted.version, wanted.updated_at)
        offset 0) t on true`
    const tasks = Array.from(pairs, (): TaskText | null => null)
    for (const { n, version, member, share, json, updatedAt } of rows) {
      const { id } = pairs[n - 1]!
      if (json !== null)
        this.#rendered.set(id, { version, updatedAt: updatedAt!, text: json }, 2 * json.length + entryBytes)
      tasks[n - 1] = { version, text: json ?? known[n - 1]!.text, member, share }
    }
    return tasks
  }
}
