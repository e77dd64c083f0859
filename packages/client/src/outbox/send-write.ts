// Sends one write until it is accepted or refused. It is conditional on the version it was based on: changes of other
// fields are no conflict, changes of the same fields are resolved by the program's rule, never by the order of arrival.
import type { Task, TaskPatch } from '../../../../src/model/task.ts'
import { ApiError, ConflictError } from '../errors.ts'
import type { Answer, Call } from '../http/request.ts'
import { isNotFound, type HttpClient } from '../http/http-client.ts'
import type { PendingWrite } from './overlay.ts'
import { path } from '../http/path.ts'

export interface Conflict {
  write: PendingWrite
  /** The task as the server has it now. */
  theirs: Task
}

/** `mine` writes on top of theirs, `theirs` drops the write, changes are written in place of mine. */
export type Resolution = 'mine' | 'theirs' | { changes: TaskPatch }

export type ConflictRule = (conflict: Conflict) => Resolution | Promise<Resolution>

interface SendContext {
  http: HttpClient
  rule: ConflictRule | undefined
  signal: AbortSignal
  /** @throws SignedOutError once another user has signed in: the write waits for its own. */
  requireSameUser: () => void
  /** Stores the write after it was rebased or replaced. */
  writeChanged: () => Promise<void>
}

/** Each further round means that another write was committed in between. */
const maxRounds = 8

/** Throws ConflictError for a dropped write, ApiError for a refused one, and errors after which it is sent again. */
export const sendWrite = async (write: PendingWrite, delivery: SendContext): Promise<Answer<Task | null>> => {
  const { http, signal } = delivery
  for (let round = 1; ; round += 1) {
    try {
      return await http.send<Task | null>({ ...requestOf(write), signal })
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      if (isNotFound(error) && write.change.kind === 'delete') return done(null)
      const isTaken = error.code === 'id_taken'
      if (error.status !== 412 && !isTaken) throw error
      delivery.requireSameUser()
      const theirs = await currentTask(write.taskId, delivery)
      // The answer was lost more than a day ago: the server no longer has the key, but it has the task.
      if (isTaken && theirs) return done(theirs)
      if (isTaken) throw error
      const outcome =
        round < maxRounds && theirs !== null ? await resolve(write, theirs, delivery) : 'dropped'
      if (outcome !== 'again') throw conflictOf(error, write, theirs, outcome === 'decided')
    }
  }
}

/** Null if the task does not exist any more. */
const currentTask = async (taskId: string, { http, signal }: SendContext): Promise<Task | null> => {
  try {
    return await http.value<Task>({ method: 'GET', path: path`/api/tasks/${taskId}`, signal })
  } catch (error) {
    if (isNotFound(error)) return null
    throw error
  }
}

/** Rebases the write on the server's version, or drops it; `decided` if the program's rule chose so. */
const resolve = async (
  write: PendingWrite,
  theirs: Task,
  { rule, requireSameUser, writeChanged }: SendContext,
): Promise<'again' | 'decided' | 'dropped'> => {
  const { change } = write
  const isElsewhere = change.kind === 'update' && isEqual(pick(theirs, change.changes), write.before)
  const resolution = isElsewhere ? 'mine' : ((await rule?.({ write, theirs })) ?? 'theirs')
  requireSameUser() // who answered a dialog may be the next user
  if (resolution === 'theirs') return rule ? 'decided' : 'dropped'
  if (resolution !== 'mine') write.change = { kind: 'update', changes: resolution.changes }
  if (write.change.kind === 'update') write.before = pick(theirs, write.change.changes)
  write.baseVersion = theirs.version
  await writeChanged()
  requireSameUser()
  return 'again'
}

const done = (value: Task | null): Answer<Task | null> => ({
  status: 200,
  value,
  headers: new Headers(),
  cursor: null,
})

const requestOf = ({ op: key, taskId, projectId, change, baseVersion: ifMatch }: PendingWrite): Call => {
  const task = path`/api/tasks/${taskId}`
  if (change.kind === 'create')
    return { method: 'POST', path: path`/api/tasks`, body: { ...change.task, id: taskId, projectId }, key }
  if (change.kind === 'update') return { method: 'PATCH', path: task, body: change.changes, ifMatch, key }
  if (change.kind === 'move')
    return { method: 'POST', path: path`/api/tasks/${taskId}/move`, body: change.to, key }
  return { method: 'DELETE', path: task, ifMatch, key }
}

const conflictOf = (
  error: ApiError,
  { baseVersion, change }: PendingWrite,
  theirs: Task | null,
  isDecided: boolean,
): Error =>
  new ConflictError(
    error.problem,
    { version: baseVersion ?? 0, changes: change.kind === 'update' ? change.changes : change },
    theirs,
    isDecided,
  )

/** The task's values of the fields that are changed, in the order of the task's fields. */
export const pick = (task: Task, changes: TaskPatch): Partial<Task> =>
  Object.fromEntries(Object.entries(task).filter(([name]) => name in changes))

const isEqual = (a: Partial<Task>, b: Partial<Task>): boolean =>
  Object.keys(a).length === Object.keys(b).length && JSON.stringify(a) === JSON.stringify(reorderedLike(a, b))

/** Tasks from an event and from REST may list their fields in another order. */
const reorderedLike = (a: Partial<Task>, b: Partial<Task>): Partial<Task> =>
  Object.fromEntries(
    Object.keys(a).map((name) => [name, Object.entries(b).find(([key]) => key === name)?.[1]]),
  )
