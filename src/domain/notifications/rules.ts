// Which log entries cause notifications, and of which kind. Invariant: a change that is logged in several scopes is a
// cause in exactly one of them, so that each cause notifies a user once.
import type { LogEntry } from '../../model/event.ts'
import type { NotificationKind } from '../../model/notification.ts'
import { idOf, isProjectScope } from '../../model/scope.ts'

/** What a notification is about: a task, or a project where `taskId` is null. */
export interface Cause {
  kind: NotificationKind
  entry: LogEntry
  taskId: string | null
  projectId: string | null
}

/** The causes in one entry: none, one, or two (a task is assigned and completed at once). */
export const causesOf = (entry: LogEntry): Cause[] => {
  const isAboutTask = entry.type !== 'member.added'
  return kindsOf(entry).map((kind) => ({
    kind,
    entry,
    taskId: isAboutTask ? entry.entityId : null,
    projectId: isAboutTask ? null : idOf(entry.scope),
  }))
}

/** Types of entries that may be causes: of all others a worker does not parse more than the type. */
const causing = new Set<LogEntry['type']>(['task.created', 'task.updated', 'share.added', 'member.added'])

const kindsOf = (entry: LogEntry): NotificationKind[] => {
  if (!causing.has(entry.type)) return []
  const { type, scope, version, changes, entityId } = entry
  if (entityId === null || !changes) return []
  const isOfProject = isProjectScope(scope)
  // A moved task is logged as `task.created` in its new project, with a version above 1: its assignee is not new.
  if (type === 'task.created')
    return isOfProject && version === 1 && changes['assigneeId']?.to ? ['assigned'] : []
  if (type === 'task.updated' && isOfProject) {
    const isAssigned = Boolean(changes['assigneeId']?.to)
    const isCompleted = changes['status']?.to === 'done'
    return [...(isAssigned ? (['assigned'] as const) : []), ...(isCompleted ? (['completed'] as const) : [])]
  }
  // A changed permission is logged as another `share.added`.
  if (type === 'share.added')
    return !isOfProject && (changes['permission']?.from ?? null) === null ? ['shared'] : []
  return type === 'member.added' ? ['project_invited'] : []
}
