// Statistics of a project, or of everything a user may read. Exact: sums of counters, the entries that the consumer has
// not counted yet, and rows for what has no counters, read at one snapshot.
import { heavy, type CallerDatabase, type Tx } from '../../db/client.ts'
import { selectHeadsForEach, selectReadableHeads, type ScopeHeads } from '../../db/log/scope-heads.ts'
import { selectProjectAccess } from '../../db/projects/projects.ts'
import {
  oneProject,
  readableProjects,
  selectDueness,
  selectQuarterCounts,
  selectTagCounts,
  selectUncounted,
  selectWordCounts,
  selectZoneAndTime,
  sharedTasks,
  tasksOf,
  type Sources,
} from '../../db/statistics/reads.ts'
import type { Actor } from '../../model/actor.ts'
import { projectScope, userScope, type Scope } from '../../model/scope.ts'
import { completionDays, shownCounts, type TaskStatistics, type WordCounts } from '../../model/statistics.ts'
import { authorize } from '../actor.ts'
import { maxScopes } from '../list.ts'
import { CountChanges } from './count-changes.ts'
import { countsByDay, dayAt, daysUntil, untilNextDay } from './days.ts'

export interface StatisticsAt {
  statistics: Omit<TaskStatistics, 'asOf'>
  /** By the clock of the database. */
  asOf: string
  /** While they are the same, and for `validForMs`, the statistics are too. */
  heads: ScopeHeads | null
  validForMs: number
}

const dayMs = 24 * 60 * 60_000
/** Longer than the longest month of `completionDays` local days. */
const windowMs = (completionDays + 2) * dayMs
const maxValidMs = 60 * 60_000

/**
 * Beyond this many entries the rows are counted instead, at the same snapshot: 10,000 entries take as long to read as
 * 100,000 rows to count. It happens where no worker has run for a while.
 */
export const maxUncounted = 10_000

/**
 * Statistics of one project (404 where the actor may not read it), or of the actor's projects that are not archived and
 * the tasks shared with the actor.
 */
export const readStatistics = (
  { db }: { db: CallerDatabase },
  actor: Actor,
  projectId: string | undefined,
): Promise<StatisticsAt> =>
  db
    .of(actor.userId)
    .snapshot((tx) => read(tx, actor, projectId ?? null), projectId === undefined ? heavy : {})

const read = async (tx: Tx, actor: Actor, projectId: string | null): Promise<StatisticsAt> => {
  const { userId } = actor
  const home = projectId === null ? readableProjects(tx, userId) : oneProject(tx, projectId)
  const shared = projectId === null ? [sharedTasks(tx, userId)] : []
  const [{ timeZone, asOf }, access, heads, entries] = await Promise.all([
    selectZoneAndTime(tx, userId),
    projectId === null ? null : selectProjectAccess(tx, userId, projectId),
    headsOf(tx, userId, projectId),
    selectUncounted(tx, home, maxUncounted + 1),
  ])
  if (projectId !== null) authorize(actor, access, 'read')
  const isRecounted = entries.length > maxUncounted
  const changes = new CountChanges()
  if (!isRecounted) for (const entry of entries) changes.add(entry)
  const sources: Sources = isRecounted
    ? { home: null, rows: [tasksOf(tx, home), ...shared] }
    : { home, rows: shared }
  const asOfMs = Date.parse(asOf)
  const [words, byTag, quarters, { overdue, nextDueAt }] = await Promise.all([
    selectWordCounts(tx, sources),
    selectTagCounts(tx, sources, changes.tags),
    selectQuarterCounts(tx, sources, new Date(asOfMs - windowMs).toISOString()),
    selectDueness(tx, { home, rows: shared }, asOf),
  ])
  for (const [quarter, count] of changes.quarters) quarters.set(quarter, (quarters.get(quarter) ?? 0) + count)
  const days = daysUntil(dayAt(asOfMs, timeZone), completionDays)
  const { total, byStatus, byPriority, completionRate } = shownCounts(added(words, changes.words))
  const untilDue = nextDueAt === null ? maxValidMs : Date.parse(nextDueAt) - asOfMs
  return {
    statistics: {
      total,
      byStatus,
      byPriority,
      byTag,
      overdue,
      completionRate,
      completedPerDay: countsByDay(quarters, days, timeZone),
    },
    asOf,
    heads,
    validForMs: Math.min(untilDue, untilNextDay(asOfMs, timeZone, maxValidMs)),
  }
}

/**
 * The scopes that announce every change but the passing of time: the user's own (time zone, access, shares) and those of
 * the projects, also of shared tasks.
 */
const headsOf = async (tx: Tx, userId: string, projectId: string | null): Promise<ScopeHeads | null> => {
  if (projectId === null) return selectReadableHeads(tx, userId, maxScopes)
  const scopes: Scope[] = [userScope(userId), projectScope(projectId)]
  const [heads] = await selectHeadsForEach(tx, [scopes])
  return { scopes, heads: heads! }
}

const added = (a: WordCounts, b: WordCounts): WordCounts => ({
  todo: a.todo + b.todo,
  in_progress: a.in_progress + b.in_progress,
  done: a.done + b.done,
  cancelled: a.cancelled + b.cancelled,
  low: a.low + b.low,
  medium: a.medium + b.medium,
  high: a.high + b.high,
  urgent: a.urgent + b.urgent,
})
