// What a stored response is about. A response is replayed only to an actor who may read its subject now: the access is
// read again in the transaction of the replay.
import { selectProjectAccess } from '../db/projects/projects.ts'
import type { Tx } from '../db/client.ts'
import { selectTasks } from '../db/tasks/tasks.ts'
import type { Comment } from '../model/comment.ts'
import type { Task } from '../model/task.ts'
import { authorize } from './actor.ts'
import type { Actor } from '../model/actor.ts'

/** Plain data: it is stored with the response. */
export interface Subject {
  /** By id, the project each was in. */
  tasks: Record<string, string>
  projects: string[]
  /** Comments whose long texts the response carries; their task decides who reads them. */
  comments?: string[]
}

/** Of responses about the actor's own account and inbox, and of those without content. */
export const ownSubject: Subject = { tasks: {}, projects: [] }

export const projectSubject = (projectId: string): Subject => ({ tasks: {}, projects: [projectId] })

export const taskSubject = (...tasks: Pick<Task, 'id' | 'projectId'>[]): Subject => ({
  tasks: Object.fromEntries(tasks.map(({ id, projectId }) => [id, projectId])),
  projects: [],
})

export const commentSubject = (
  { id }: Pick<Comment, 'id'>,
  task: Pick<Task, 'id' | 'projectId'>,
): Subject => ({ ...taskSubject(task), comments: [id] })

/** 404 where the actor may not read all of it. A deleted task counts as readable by those who may read its project. */
export const requireReadableSubject = async (tx: Tx, actor: Actor, subject: Subject): Promise<void> => {
  const ids = Object.keys(subject.tasks)
  const rows = ids.length > 0 ? await selectTasks(tx, actor.userId, ids) : []
  for (const row of rows) authorize(actor, row, 'read')
  const found = new Set(rows.map(({ task }) => task.id))
  const gone = ids.filter((id) => !found.has(id)).map((id) => subject.tasks[id]!)
  for (const projectId of new Set([...subject.projects, ...gone]))
    authorize(actor, await selectProjectAccess(tx, actor.userId, projectId), 'read')
}
