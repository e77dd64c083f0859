// Which log entries are activity, and the row each becomes. Invariants: a change that is logged in several scopes is
// activity in its project's alone; the id of a row follows from its entry, so that an entry has one row.
import type { NewActivity } from '../../db/activity/activity.ts'
import { activityTypes, type ActivityType } from '../../model/activity.ts'
import type { Changes, LogEntry } from '../../model/event.ts'
import { idOf, isProjectScope } from '../../model/scope.ts'

const types = new Set<string>(activityTypes)

/** Counters change with what they count, which is activity of its own; profiles of members with the profile. */
const derivedFields = new Set(['commentCount', 'attachmentCount', 'memberCount', 'name', 'avatarUrl'])
const derivable = new Set<string>(['task.updated', 'member.updated', 'project.updated'])

/** Whether an entry may be activity; reads no more than its type and scope. */
export const mayBeActivity = (entry: LogEntry): boolean =>
  types.has(entry.type) && isProjectScope(entry.scope)

/** The row of an entry; null where the change is a consequence of another one. */
export const activityOf = (entry: LogEntry): NewActivity | null => {
  const { type, scope, entityId } = entry
  if (!isActivityType(type) || !isProjectScope(scope) || entityId === null) return null
  const changes = entry.changes ?? {}
  if (derivable.has(type) && isDerived(type, changes)) return null
  return {
    id: activityIdOf(entry),
    type,
    actorId: entry.actorId,
    projectId: idOf(scope),
    ...subjectOf(entry, type, entityId, changes),
    changes: withoutTask(changes),
    override: entry.override,
    createdAt: entry.at,
  }
}

/** Without the task of a comment or attachment, which is a member of the row. */
const withoutTask = (changes: Changes): Changes =>
  Object.fromEntries(Object.entries(changes).filter(([field]) => field !== 'taskId'))

const isActivityType = (type: string): type is ActivityType => types.has(type)

const isDerived = (type: string, changes: Changes): boolean => {
  const fields = Object.keys(changes)
  // The name of a project is its own.
  return fields.every(
    (field) => derivedFields.has(field) && !(type === 'project.updated' && field === 'name'),
  )
}

const subjectOf = (
  entry: LogEntry,
  type: ActivityType,
  entityId: string,
  changes: Changes,
): { taskId: string | null; entityId: string } => {
  switch (type.split('.', 1)[0]) {
    case 'task':
      return { taskId: entityId, entityId }
    case 'share':
      return { taskId: entityId, entityId: fieldOf(entry, changes, 'userId') ?? entityId }
    case 'comment':
    case 'attachment':
      return { taskId: fieldOf(entry, changes, 'taskId'), entityId }
    default:
      return { taskId: null, entityId }
  }
}

/** An id in the changes of the entry or in what its frame shows. */
const fieldOf = ({ frame }: LogEntry, changes: Changes, field: string): string | null => {
  const change = changes[field]
  const value = change?.to ?? change?.from ?? dataOf(frame)?.[field]
  return typeof value === 'string' ? value : null
}

/** Null for a quiet entry, which has no frame. */
const dataOf = (frame: string | null): Record<string, unknown> | undefined =>
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- frames are written by `append` only
  frame === null ? undefined : (JSON.parse(frame) as { data?: Record<string, unknown> }).data

/** A UUIDv7 of the entry's time, shard and number: the order of ids is that of time, then shard, then number. */
export const activityIdOf = ({ at, shard, seq }: Pick<LogEntry, 'at' | 'shard' | 'seq'>): string => {
  const time = hexTimeOf(at)
  const number = seq.toString(16).padStart(14, '0')
  const tail = `7${shard.toString(16)}${number.slice(0, 2)}-8${number.slice(2, 5)}-${number.slice(5)}000`
  return `${time.slice(0, 8)}-${time.slice(8)}-${tail}`
}

/** The least id of rows of this time or later. */
export const firstIdFrom = (instant: string): string => {
  const time = hexTimeOf(instant)
  return `${time.slice(0, 8)}-${time.slice(8)}-0000-0000-000000000000`
}

const hexTimeOf = (instant: string): string => Math.max(0, Date.parse(instant)).toString(16).padStart(12, '0')
