// What a stored answer is about. An answer that was kept for repeats is only repeated to a caller who may read its
// subject now: the right is looked up again, in the transaction that repeats it.
import { selectProjectAccess } from '../db/projects/projects.ts'
import type { Tx } from '../db/client.ts'
import { selectTasks } from '../db/tasks/tasks.ts'
import type { Task } from '../model/task.ts'
import { authorize } from './actor.ts'
import type { Actor } from '../model/actor.ts'

/** Plain data: it is stored beside the answer. */
export interface Subject {
  /** By id, the project each was in. */
  tasks: Record<string, string>
  projects: string[]
}

/** Of answers about the caller's own account and inbox, and of those that show nothing that is left. */
export const ownSubject: Subject = { tasks: {}, projects: [] }

export const projectSubject = (projectId: string): Subject => ({ tasks: {}, projects: [projectId] })

export const taskSubject = (...tasks: Pick<Task, 'id' | 'projectId'>[]): Subject => ({
  tasks: Object.fromEntries(tasks.map(({ id, projectId }) => [id, projectId])),
  projects: [],
})

/** 404 where the actor may not read all of it. A task that is gone is read by who may read the project it was in. */
export const requireReadableSubject = async (tx: Tx, actor: Actor, subject: Subject): Promise<void> => {
  const ids = Object.keys(subject.tasks)
  const rows = ids.length > 0 ? await selectTasks(tx, actor.userId, ids) : []
  for (const row of rows) authorize(actor, row, 'read')
  const found = new Set(rows.map(({ task }) => task.id))
  const gone = ids.filter((id) => !found.has(id)).map((id) => subject.tasks[id]!)
  for (const projectId of new Set([...subject.projects, ...gone]))
    authorize(actor, await selectProjectAccess(tx, actor.userId, projectId), 'read')
}
