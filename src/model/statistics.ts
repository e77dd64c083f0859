// Statistics of tasks: of one project, or of everything a person may read. All are exact at `asOf`.
import { Type, type Static, type TUnsafe } from '@sinclair/typebox'
import { Day, Id, Instant } from './scalar.ts'
import { priorities, statuses, type Priority, type Status } from './task.ts'

const Count = () => Type.Integer({ minimum: 0 })

const countsOf = <W extends string>(words: readonly W[]) =>
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- one count for each word
  Object.fromEntries(words.map((word) => [word, Count()])) as unknown as Record<W, TUnsafe<number>>

/** Tags in an answer: the most frequent ones, equal counts by the tag. */
export const maxTagCounts = 50
/** Days in an answer: today, in the caller's time zone, is the last. */
export const completionDays = 30

const counts = {
  total: Count(),
  byStatus: Type.Object(countsOf<Status>(statuses), { additionalProperties: false }),
  byPriority: Type.Object(countsOf<Priority>(priorities), { additionalProperties: false }),
}

const completionRate = Type.Number({
  minimum: 0,
  maximum: 1,
  description: 'done / (total - cancelled); 0 where that is nothing',
})

export const TaskStatistics = Type.Object(
  {
    ...counts,
    byTag: Type.Array(Type.Object({ tag: Type.String(), count: Count() }, { additionalProperties: false }), {
      maxItems: maxTagCounts,
      description: 'The most frequent tags',
    }),
    overdue: Count(),
    completionRate,
    completedPerDay: Type.Array(
      Type.Object({ date: Day(), count: Count() }, { additionalProperties: false }),
      { description: 'The last 30 days in your time zone, the oldest first' },
    ),
    asOf: Instant(),
  },
  { additionalProperties: false },
)
export type TaskStatistics = Static<typeof TaskStatistics>

/** What `stats.updated` carries: the numbers that are the same for every reader of the project. */
export const ProjectCounts = Type.Object(
  { projectId: Id(), ...counts, completionRate },
  { additionalProperties: false },
)
export type ProjectCounts = Static<typeof ProjectCounts>

/** The number of tasks with each status and each priority. */
export type WordCounts = Record<Status | Priority, number>

export const noCounts = (): WordCounts => ({
  todo: 0,
  in_progress: 0,
  done: 0,
  cancelled: 0,
  low: 0,
  medium: 0,
  high: 0,
  urgent: 0,
})

/** Total, parts and rate from the counts of words. */
export const shownCounts = (words: WordCounts): Omit<ProjectCounts, 'projectId'> => {
  const { todo, in_progress, done, cancelled, low, medium, high, urgent } = words
  const total = todo + in_progress + done + cancelled
  const relevant = total - cancelled
  return {
    total,
    byStatus: { todo, in_progress, done, cancelled },
    byPriority: { low, medium, high, urgent },
    completionRate: relevant > 0 ? done / relevant : 0,
  }
}

const quarterMs = 15 * 60_000

/** The start of the UTC quarter-hour that contains the instant, in milliseconds since 1970. */
export const quarterOf = (instant: string): number => Math.floor(Date.parse(instant) / quarterMs) * quarterMs

/** The next instant at which a quarter-hour begins, in milliseconds since 1970. */
export const nextQuarter = (atMs: number): number => (Math.floor(atMs / quarterMs) + 1) * quarterMs
