// Telling people what others did that concerns them: assigned, completed, shared, project_invited. Each cause is
// one entry of the log and tells a person once; nobody hears of their own doing or of what they may not read.
// And telling projects what their members changed of themselves.
import type { Tx } from '../../db/client.ts'
import { insertNotifications, type NotificationRow } from '../../db/notifications/notifications.ts'
import { idOf, isProjectScope, userScope } from '../../model/scope.ts'
import {
  lockForReading,
  selectNotifiable,
  type Candidate,
  type TaskPeople,
} from '../../db/notifications/recipients.ts'
import { toNotification } from '../../domain/notifications/inbox.ts'
import { type Entry, type LogEntry } from '../../model/event.ts'
import type { NotificationKind } from '../../model/notification.ts'
import type { Consumer } from '../engine/shard-consumer.ts'
import { isProfileChange, personIn, memberUpdatesOf } from './profile-changes.ts'

interface Cause extends Candidate {
  kind: NotificationKind
  entry: LogEntry
}

export const notifications: Consumer = {
  name: 'notifications',
  concerns: (entry) => kindsOf(entry).length > 0 || isProfileChange(entry),
  async handle(tx, entries) {
    const told = entries
      .filter((entry) => !isProfileChange(entry))
      .map((entry) => ({ entry, kinds: kindsOf(entry) }))
    const renames = entries.filter(isProfileChange)
    const people = await lockForReading(tx, {
      taskIds: told.flatMap(taskIdsOf),
      projectIds: told.flatMap(projectIdsOf),
      memberIds: renames.map(personIn),
    })
    const causes = told.flatMap(({ entry, kinds }) =>
      kinds.flatMap((kind) =>
        recipientsOf(kind, entry, people).map((userId) => causeOf(kind, entry, userId)),
      ),
    )
    const foreign = causes.filter(({ userId, entry }) => userId !== entry.actorId)
    return [...(await notify(tx, foreign)), ...(await memberUpdatesOf(tx, renames))]
  },
}

/** The entry a notification makes in its person's scope. */
export const notificationCreated = (row: NotificationRow): Entry => ({
  scope: userScope(row.userId),
  type: 'notification.created',
  id: row.id,
  data: toNotification(row),
  actorId: row.actor?.id ?? null,
})

/** What an entry may be a cause of. A change is told in several scopes and is a cause in exactly one of them. */
const kindsOf = ({ type, scope, version, changes, entityId }: LogEntry): NotificationKind[] => {
  if (entityId === null || !changes) return []
  const isOfProject = isProjectScope(scope)
  // A task that moved is created anew in its project, with a version above 1 and nothing new to its people.
  if (type === 'task.created')
    return isOfProject && version === 1 && changes['assigneeId']?.to ? ['assigned'] : []
  if (type === 'task.updated' && isOfProject) {
    const isAssigned = Boolean(changes['assigneeId']?.to)
    const isCompleted = changes['status']?.to === 'done'
    return [...(isAssigned ? (['assigned'] as const) : []), ...(isCompleted ? (['completed'] as const) : [])]
  }
  // A changed permission is told as another share.added.
  if (type === 'share.added')
    return !isOfProject && (changes['permission']?.from ?? null) === null ? ['shared'] : []
  return type === 'member.added' ? ['project_invited'] : []
}

const isOfTask = ({ type }: LogEntry): boolean => type !== 'member.added'
const taskIdsOf = ({ entry }: { entry: LogEntry }): string[] => (isOfTask(entry) ? [entry.entityId!] : [])
const projectIdsOf = ({ entry }: { entry: LogEntry }): string[] =>
  isOfTask(entry) ? [] : [idOf(entry.scope)]

const recipientsOf = (kind: NotificationKind, entry: LogEntry, people: Map<string, TaskPeople>): string[] => {
  if (kind === 'shared') return [idOf(entry.scope)]
  if (kind === 'project_invited') return [entry.entityId!]
  if (kind === 'assigned') return [String(entry.changes!['assigneeId']!.to)]
  const now = people.get(entry.entityId!)
  // As they were when it was completed, where the entry says so; somebody else may be assigned since.
  const then = taskIn(entry) ?? now
  const both = [then?.creatorId, then?.assigneeId].filter((id) => typeof id === 'string')
  return [...new Set(both)]
}

/** The task as the entry carries it; null for one of many that sockets do not see. */
const taskIn = ({ frame }: LogEntry): TaskPeople | null =>
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- frames are written by `append` only
  frame === null ? null : (JSON.parse(frame) as { data: TaskPeople }).data

const causeOf = (kind: NotificationKind, entry: LogEntry, userId: string): Cause => ({
  kind,
  entry,
  userId,
  taskId: isOfTask(entry) ? entry.entityId : null,
  projectId: isOfTask(entry) ? null : idOf(entry.scope),
})

const notify = async (tx: Tx, causes: Cause[]): Promise<Entry[]> => {
  if (causes.length === 0) return []
  const readers = await selectNotifiable(tx, causes)
  const rows = await insertNotifications(
    tx,
    readers.map(({ n, projectId, projectName, title }) => {
      const { kind, entry, userId, taskId } = causes[n]!
      return {
        userId,
        kind,
        taskId,
        projectId,
        actorId: entry.actorId,
        // A sharee may know the task but not its project.
        data: taskId === null ? { name: projectName, role: entry.changes!['role']?.to } : { title },
        dedupeKey: `${kind}:${entry.shard}.${entry.seq}`,
      }
    }),
  )
  return rows.map(notificationCreated)
}
