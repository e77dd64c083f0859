// Who receives a notification. Invariants: the actor of a change does not, and neither does a user who cannot read the
// task or project when the notification commits.
import type { Tx } from '../../db/client.ts'
import { selectEarlierAuthors, type EarlierAuthors } from '../../db/comments/comments.ts'
import {
  lockSubjects,
  selectReaders,
  type Reader,
  type TaskPeople,
} from '../../db/notifications/recipients.ts'
import type { LogEntry } from '../../model/event.ts'
import { idOf } from '../../model/scope.ts'
import { mentionsIn, type Cause } from './rules.ts'

/** A user to notify of a cause, with what the notification shows of its subject. */
export interface Recipient extends Pick<Reader, 'projectId' | 'projectName' | 'title'> {
  cause: Cause
  userId: string
}

/** Share-locks the tasks and projects of the causes until commit, so that access cannot end before the notification. */
export const lockAndSelectRecipients = async (tx: Tx, causes: Cause[]): Promise<Recipient[]> => {
  if (causes.length === 0) return []
  const people = await lockSubjects(tx, {
    taskIds: causes.flatMap(({ taskId }) => taskId ?? []),
    projectIds: causes.flatMap(({ projectId }) => projectId ?? []),
  })
  const commentIds = causes.flatMap(({ commentId }) => commentId ?? [])
  const authors = commentIds.length > 0 ? await selectEarlierAuthors(tx, commentIds) : noAuthors
  const candidates = causes.flatMap((cause) =>
    candidatesOf(cause, people, authors)
      .filter((userId) => userId !== cause.entry.actorId)
      .map((userId) => ({ cause, userId, taskId: cause.taskId, projectId: cause.projectId })),
  )
  const readers = await selectReaders(tx, candidates)
  return readers.map(({ n, projectId, projectName, title }) => {
    const { cause, userId } = candidates[n]!
    return { cause, userId, projectId, projectName, title }
  })
}

const noAuthors: EarlierAuthors = new Map()

/** The users concerned, whether or not they can read the subject. None where the comment is deleted. */
const candidatesOf = (cause: Cause, people: Map<string, TaskPeople>, authors: EarlierAuthors): string[] => {
  const { kind, entry, commentId } = cause
  if (commentId !== null) {
    const earlier = authors.get(commentId)
    if (!earlier) return []
    const { now, added } = mentionsIn(entry)
    if (kind === 'mentioned') return added
    return concerned(people.get(cause.taskId ?? ''), ...earlier).filter((userId) => !now.includes(userId))
  }
  if (kind === 'shared') return [idOf(entry.scope)]
  if (kind === 'project_invited') return [entry.entityId!]
  if (kind === 'assigned') return [String(entry.changes!['assigneeId']!.to)]
  // `completed`: creator and assignee at the completion where the entry carries the task; the assignee may have
  // changed since.
  const task = taskIn(entry) ?? people.get(entry.entityId!)
  return concerned(task)
}

/** Creator, assignee and others, each once. */
const concerned = (task: TaskPeople | undefined, ...others: string[]): string[] => [
  ...new Set([task?.creatorId, task?.assigneeId, ...others].filter((id) => typeof id === 'string')),
]

/** The task as the entry carries it; null for a quiet entry. */
const taskIn = ({ frame }: LogEntry): TaskPeople | null =>
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- frames are written by `append` only
  frame === null ? null : (JSON.parse(frame) as { data: TaskPeople }).data
