// What entries of the log change in the counters of a project. Invariant: the only place that says what an entry counts:
// the consumer adds it to the counters, readers add what the consumer has not reached yet.
import type { Changes, LogEntry } from '../../model/event.ts'
import { isProjectScope } from '../../model/scope.ts'
import { noCounts, quarterOf } from '../../model/statistics.ts'

/** Entries that change a counter when one of the counted fields changes. */
export const countedTypes = ['task.created', 'task.updated', 'task.deleted'] as const
const counted: readonly string[] = countedTypes
const countedFields = ['status', 'priority', 'tags', 'completedAt']

/**
 * Whether the entry changes counters: in the scope of its project, once for each change, and not in those of the people a
 * task is shared with. `project.deleted` ends the counters of a project; its tasks have no entries of their own.
 */
export const isCounted = ({ type, scope }: Pick<LogEntry, 'type' | 'scope'>, changes: () => Changes | null) =>
  isProjectScope(scope) &&
  (type === 'project.deleted' ||
    (counted.includes(type) && countedFields.some((name) => changes()?.[name] !== undefined)))

/** Sums of changes of one project. */
export class CountChanges {
  /** By status and by priority. */
  readonly words = noCounts()
  readonly tags = new Map<string, number>()
  /** By the start of the quarter-hour, in milliseconds since 1970. */
  readonly quarters = new Map<number, number>()

  /** Adds the changes of an entry about a task. */
  add(changes: Changes): void {
    for (const name of countedFields) {
      const change = changes[name]
      if (change === undefined) continue
      this.#count(name, change.from, -1)
      this.#count(name, change.to, 1)
    }
  }

  #count(name: string, value: unknown, by: 1 | -1): void {
    if (name === 'tags') {
      if (Array.isArray(value)) for (const tag of value) addTo(this.tags, String(tag), by)
    } else if (typeof value !== 'string') return
    else if (name === 'completedAt') addTo(this.quarters, quarterOf(value), by)
    else if (isWord(this.words, value)) this.words[value] += by
  }
}

const isWord = <W extends string>(words: Record<W, number>, value: string): value is W =>
  Object.hasOwn(words, value)

/** What sums up to nothing is left out. */
const addTo = <K>(sums: Map<K, number>, key: K, by: number): void => {
  const sum = (sums.get(key) ?? 0) + by
  if (sum === 0) sums.delete(key)
  else sums.set(key, sum)
}
