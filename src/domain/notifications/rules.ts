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
  /** The comment that mentions or announces itself. */
  commentId: string | null
}

/** The causes in one entry: none, one, or two (a task is assigned and completed at once). */
export const causesOf = (entry: LogEntry): Cause[] => {
  const kinds = kindsOf(entry)
  if (kinds.length === 0) return []
  const subject = subjectOf(entry)
  return kinds.map((kind) => ({ kind, entry, ...subject }))
}

const subjectOf = (entry: LogEntry): Pick<Cause, 'taskId' | 'projectId' | 'commentId'> => {
  const { type, scope, entityId } = entry
  if (type === 'member.added') return { taskId: null, projectId: idOf(scope), commentId: null }
  if (!isOfComment(entry)) return { taskId: entityId, projectId: null, commentId: null }
  return { taskId: taskIdOfComment(entry), projectId: null, commentId: entityId }
}

const isOfComment = ({ type }: LogEntry): boolean => type === 'comment.created' || type === 'comment.updated'

/** A creation has the task in its changes, an update in its data; an update that mentions a user is never quiet. */
const taskIdOfComment = ({ changes, frame }: LogEntry): string | null => {
  const created = changes?.['taskId']?.to
  if (typeof created === 'string') return created
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- frames are written by `append` only
  return frame === null ? null : (JSON.parse(frame) as { data: { taskId: string } }).data.taskId
}

/** The users an entry of a comment mentions now, and those of them it did not mention before. */
export const mentionsIn = ({ changes }: LogEntry): { now: string[]; added: string[] } => {
  const { from, to } = changes?.['mentions'] ?? { from: [], to: [] }
  const [before, now] = [idsIn(from), idsIn(to)]
  return { now, added: now.filter((id) => !before.includes(id)) }
}

const idsIn = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((id): id is string => typeof id === 'string') : []

/** Types of entries that may be causes: of all others a worker does not parse more than the type. */
const causing = new Set<LogEntry['type']>([
  'task.created',
  'task.updated',
  'share.added',
  'member.added',
  'comment.created',
  'comment.updated',
])

const kindsOf = (entry: LogEntry): NotificationKind[] => {
  if (!causing.has(entry.type)) return []
  const { type, scope, version, changes, entityId } = entry
  if (entityId === null || !changes) return []
  const isOfProject = isProjectScope(scope)
  if (isOfComment(entry)) {
    if (!isOfProject) return []
    const isMention = mentionsIn(entry).added.length > 0
    return [
      ...(isMention ? (['mentioned'] as const) : []),
      ...(type === 'comment.created' ? (['commented'] as const) : []),
    ]
  }
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
