// Compares the client's ledger and every follower's state with PostgreSQL, and checks that the log is contiguous. Each
// check returns descriptions of the differences.
import { isDeepStrictEqual } from 'node:util'
import type { Database } from '../../src/db/client.ts'
import type { Follower } from './follower.ts'
import type { Ledger, LedgerTask } from './ledger.ts'

const shown = 5

export const summarise = (title: string, differences: string[]): string[] =>
  differences.length === 0
    ? []
    : [`${title}: ${differences.length}`, ...differences.slice(0, shown).map((line) => `    ${line}`)]

/** Each shard holds exactly the numbers 1 to its head. */
export const checkLog = async (db: Database): Promise<string[]> => {
  const rows = await db.read(
    (sql) => sql<
      {
        shard: number
        head: number
        count: number
        first: number | null
        last: number | null
        lonely: number
      }[]
    >`
      select h.shard, h.seq as head, count(f.seq)::int as count, min(f.seq) as first, max(f.seq) as last,
        (select count(*)::int from feed_default) as lonely
      from feed_head h left join feed f using (shard)
      group by h.shard, h.seq order by h.shard`,
  )
  return rows
    .filter(
      ({ head, count, first, last, lonely }) =>
        lonely > 0 || count !== head || (head > 0 && (first !== 1 || last !== head)),
    )
    .map(
      (row) =>
        `shard ${row.shard} ends at ${row.head} but holds ${row.count} entries from ${row.first} to ${row.last}`,
    )
}

/** PostgreSQL has every acknowledged task as acknowledged, and no other. */
export const checkTasks = (ledger: Ledger, rows: Map<string, any>): string[] => {
  const differences: string[] = []
  for (const { id, state } of ledger.tasks.values()) {
    const row = rows.get(id)
    if (state === null ? row !== undefined : !isDeepStrictEqual(row, state)) {
      differences.push(`task ${id}: acknowledged ${JSON.stringify(state)}, found ${JSON.stringify(row)}`)
    }
  }
  for (const id of rows.keys())
    if (!ledger.tasks.has(id)) differences.push(`task ${id} was never acknowledged`)
  return differences
}

/** The follower's state equals PostgreSQL, and it recorded no fault. */
export const checkFollower = (
  follower: Follower,
  rows: Map<string, any>,
  inbox: Map<string, Set<string>>,
): string[] => {
  const name = `user ${follower.person.number}`
  const differences = [
    ...follower.faults.map(({ text }) => `${name}: ${text}`),
    ...checkShown(follower, rows),
  ]
  const expected = inbox.get(follower.person.id) ?? new Set()
  for (const id of expected)
    if (!follower.notifications.has(id)) differences.push(`${name}: never saw notification ${id}`)
  for (const id of follower.notifications.keys())
    if (!expected.has(id)) differences.push(`${name}: saw notification ${id}, which is not there`)
  return differences
}

/**
 * Compares the notifications that the follower received with the inbox of its user.
 * @param rows all of the user.
 * @param taskIds of what was done while it followed: their notifications must have come to it.
 */
export const checkInbox = (
  { person, notifications, counts }: Pick<Follower, 'person' | 'notifications' | 'counts'>,
  rows: readonly NotificationRow[],
  taskIds: ReadonlySet<string>,
): string[] => {
  const name = `user ${person.number}`
  const own = new Map(rows.filter(({ userId }) => userId === person.id).map((row) => [row.id, row]))
  // Its snapshot has the newest ones only.
  const isComplete = counts.resyncs === 0
  return [
    ...[...own.values()]
      .filter(
        ({ id, taskId }) => isComplete && taskId !== null && taskIds.has(taskId) && !notifications.has(id),
      )
      .map(({ id, kind }) => `${name}: never received notification ${id}, ${kind}`),
    ...[...notifications]
      .filter(([id, kind]) => own.get(id)?.kind !== kind)
      .map(([id, kind]) => `${name}: received notification ${id}, ${kind}, which is not in the inbox`),
  ]
}

/** Compares the follower's tasks of its project with PostgreSQL. */
export const checkShown = ({ person, projectId, tasks }: Follower, rows: Map<string, any>): string[] => {
  const name = `user ${person.number}`
  const differences: string[] = []
  const own = new Map([...rows].filter(([, task]) => task.projectId === projectId))
  for (const [id, { task }] of tasks) {
    if (!isDeepStrictEqual(task ?? undefined, own.get(id))) {
      const found = JSON.stringify(own.get(id))
      differences.push(`${name}: task ${id} is ${JSON.stringify(task)}, in PostgreSQL ${found}`)
    }
  }
  for (const id of own.keys()) if (!tasks.has(id)) differences.push(`${name}: never saw task ${id}`)
  return differences
}

export interface NotificationRow {
  id: string
  userId: string
  kind: string
  /** Null of an invitation. */
  taskId: string | null
  projectId: string | null
  dedupeKey: string
}

const causes: readonly string[] = ['assigned', 'completed', 'project_invited']
const kinds: readonly string[] = [...causes, 'overdue', 'due_soon']

/**
 * Overdue: one for each task that was still open when it fell due, none for the others; a task that was closed
 * around its due time may have either. Due soon: at most one for each task with a due time, which is less than a day
 * after its creation; exactly one where it was open until then. Assigned, completed and invited: one for each cause,
 * unless the task was deleted.
 */
export const checkNotifications = (ledger: Ledger, rows: NotificationRow[], now: number): string[] => {
  const differences: string[] = []
  for (const [kind, wanted] of [
    ['overdue', overdueDue],
    ['due_soon', dueSoonDue],
  ] as const) {
    const found = countBy(
      rows.filter((row) => row.kind === kind),
      (row) => String(row.taskId),
    )
    for (const task of ledger.tasks.values()) {
      const { least, most } = wanted(task, now)
      const times = found.get(task.id) ?? 0
      if (times < least || times > most)
        differences.push(`task ${task.id} was notified ${kind} ${times} times instead of ${least}`)
    }
  }
  const found = countBy(
    rows.filter((row) => causes.includes(row.kind)),
    (row) => `${row.kind} ${row.userId} ${row.taskId ?? row.projectId}`,
  )
  const wanted = countBy(ledger.expected, (one) => `${one.kind} ${one.userId} ${one.subjectId}`)
  for (const [what, count] of wanted) {
    const isDeleted = ledger.tasks.get(what.split(' ')[2]!)?.state === null
    const times = found.get(what) ?? 0
    if (times > count || (times < count && !isDeleted))
      differences.push(`${what}: ${times} instead of ${count}`)
  }
  for (const what of found.keys()) if (!wanted.has(what)) differences.push(`${what}: no notification was due`)
  for (const { kind } of rows) if (!kinds.includes(kind)) differences.push(`unexpected ${kind}`)
  return differences
}

/** A task closed this near its due time, or later, may have been closed before or after the worker's check. */
const marginMs = 100

const overdueDue = ({ dueAt, closedAt }: LedgerTask, now: number): { least: number; most: number } => {
  if (dueAt === null || dueAt > now) return { least: 0, most: 0 }
  if (closedAt === null) return { least: 1, most: 1 }
  return closedAt < dueAt - marginMs ? { least: 0, most: 0 } : { least: 0, most: 1 }
}

const dueSoonDue = ({ dueAt, closedAt, state }: LedgerTask, now: number): { least: number; most: number } => {
  if (dueAt === null || dueAt > now) return { least: 0, most: dueAt === null ? 0 : 1 }
  const wasOpen = state !== null && (closedAt === null || closedAt >= dueAt)
  return { least: wasOpen ? 1 : 0, most: 1 }
}

const countBy = <T>(items: T[], keyOf: (item: T) => string): Map<string, number> => {
  const counts = new Map<string, number>()
  for (const item of items) counts.set(keyOf(item), (counts.get(keyOf(item)) ?? 0) + 1)
  return counts
}
