// Moving a task within its project or into another. Invariant: both projects are locked first, so that their trees and
// ranks do not change; then the tasks that are written, by ascending id.
import type { Tx } from '../../db/client.ts'
import { selectAfter, selectBefore, selectPlace, type RankedTask } from '../../db/tasks/task-order.ts'
import { selectProjectAccess } from '../../db/projects/projects.ts'
import { deleteSharesWith } from '../../db/tasks/shares.ts'
import { lockTrees, selectSubtree } from '../../db/tasks/task-tree.ts'
import {
  lockTasks,
  selectLockedTasks,
  selectReaders,
  selectTasks,
  updateTasks,
  type LockedTaskRow,
  type StoredTask,
} from '../../db/tasks/tasks.ts'
import { projectScope, userScope } from '../../model/scope.ts'
import { AppError, invalid } from '../../errors.ts'
import type { Entry } from '../../model/event.ts'
import type { Share, Task, TaskMove } from '../../model/task.ts'
import { requireNotArchived } from '../access.ts'
import { authorize, can } from '../actor.ts'
import { makeRoom, maxFollowers } from './rank.ts'
import { shareRemoved } from '../shares/shares.ts'
import { nextState, taskMoved, taskUpdated } from './task-effects.ts'
import { authorizeChange, movedConcurrently, unusableReference } from './task-decisions.ts'
import { taskSubject } from '../subject.ts'
import { write, type Effect, type WriteResult, type WriteRequest, type WriteDeps } from '../write.ts'
import type { Actor } from '../../model/actor.ts'

/**
 * Puts the task before or after another, or last. A move to another project includes its subtasks and removes its
 * parent, an assignee who cannot read it there, and single shares with members there. 422 for a project or neighbour
 * that the actor cannot use.
 */
export const moveTask = (
  deps: WriteDeps,
  request: WriteRequest<Task>,
  id: string,
  target: TaskMove,
): Promise<WriteResult<Task>> => write(deps, request, (tx) => move(tx, request.actor, id, target))

const move = async (tx: Tx, actor: Actor, id: string, target: TaskMove): Promise<Effect<Task>> => {
  const [seen] = await selectTasks(tx, actor.userId, [id])
  authorize(actor, seen ?? null, 'move')
  const source = seen!.task.projectId
  const destination = target.projectId ?? source
  if (destination !== source) await requireDestination(tx, actor, destination)
  await lockTrees(tx, [source, destination])

  const previous = await findPrevious(tx, destination, id, target)
  const isLast = target.before === undefined && target.after === undefined
  const followers = isLast ? [] : await selectAfter(tx, destination, previous, id, maxFollowers + 1)
  const moving = destination === source ? [id] : await selectSubtree(tx, [id])
  const own = await selectPlace(tx, destination, id)
  const isThere = own !== null && isBetween(own, previous, followers[0])
  const room = isThere ? { rank: own.rank, pushed: [] } : roomFor(previous, followers)
  const pushed = new Map(room.pushed.map((rank, index) => [followers[index]!.id, rank]))

  const locked = await lockAndReadTasks(tx, actor, [...moving, ...pushed.keys()])
  const root = authorizeChange(actor, locked.get(id), 'move')
  if (root.task.projectId !== source) throw movedConcurrently()
  const cursorScope = projectScope(destination)
  if (isThere) return { value: root.task, entries: [], cursorScope, subject: taskSubject(root.task) }

  const readers = await readersAmong(tx, destination, source, locked, moving)
  const removed = destination === source ? [] : await removeSharesWithMembers(tx, destination, locked, moving)
  const othersOf = (taskId: string, sharees: string[]): string[] =>
    sharees.filter((sharee) => !removed.some((share) => share.taskId === taskId && share.userId === sharee))
  const arriving = moving.map((member): StoredTask => {
    const row = locked.get(member)!
    const { task, sharees } = row
    if (destination === source) return nextState(row, { rank: room.rank }, { at: row.readAt })
    const staysAssigned = task.assigneeId !== null && [...readers, ...sharees].includes(task.assigneeId)
    const fields = {
      projectId: destination,
      assigneeId: staysAssigned ? task.assigneeId : null,
      ...(member === id && { parentId: null, rank: room.rank }),
    }
    return nextState(row, fields, { at: row.readAt, steps: 2 })
  })
  const making = [...pushed].map(([follower, rank]): StoredTask => {
    const row = locked.get(follower)!
    return nextState(row, { rank }, { at: row.readAt })
  })
  const updates = [...arriving, ...making]
  await updateTasks(tx, updates, destination !== source)
  const now = new Map(updates.map(({ task }) => [task.id, task]))
  const entries = updates.flatMap(({ task: after }): Entry[] => {
    const { task, sharees } = locked.get(after.id)!
    return task.projectId === after.projectId
      ? taskUpdated(task, after, sharees, actor.userId)
      : taskMoved(task, after, othersOf(task.id, sharees), actor.userId)
  })
  const ended = removed.flatMap((share) =>
    [cursorScope, userScope(share.userId)].map((scope) => shareRemoved(scope, share, actor.userId)),
  )
  const value = now.get(id)!
  return { value, entries: [...entries, ...ended], cursorScope, subject: taskSubject(value) }
}

/** Locks tasks and reads them under the locks, by id. Tasks that do not exist are absent. */
const lockAndReadTasks = async (tx: Tx, actor: Actor, ids: string[]): Promise<Map<string, LockedTaskRow>> => {
  // Sent together and run in order: the second statement takes its snapshot after the locks are acquired.
  const [, rows] = await Promise.all([lockTasks(tx, ids), selectLockedTasks(tx, actor.userId, ids)])
  return new Map(rows.map((row) => [row.task.id, row]))
}

const requireDestination = async (tx: Tx, actor: Actor, projectId: string): Promise<void> => {
  const placement = await selectProjectAccess(tx, actor.userId, projectId)
  if (!placement || !can(actor, placement, 'read')) throw unusableReference('/projectId')
  authorize(actor, placement, 'move')
  requireNotArchived(placement)
}

/** The task directly before the target position; null where the target is the first position. */
const findPrevious = async (
  tx: Tx,
  projectId: string,
  id: string,
  { before, after }: TaskMove,
): Promise<RankedTask | null> => {
  if (before !== undefined && after !== undefined)
    throw invalid({ pointer: '/after', detail: 'does not go with before' })
  const neighbour = before ?? after
  if (neighbour === undefined) return selectBefore(tx, projectId, null, id)
  const pointer = before === undefined ? '/after' : '/before'
  if (neighbour === id) throw invalid({ pointer, detail: 'must be another task' })
  const place = await selectPlace(tx, projectId, neighbour)
  if (!place) throw unusableReference(pointer)
  return before === undefined ? place : selectBefore(tx, projectId, place, id)
}

const isBelow = (a: RankedTask, b: RankedTask): boolean =>
  a.rank < b.rank || (a.rank === b.rank && a.id < b.id)

const isBetween = (own: RankedTask, previous: RankedTask | null, next: RankedTask | undefined): boolean =>
  (previous === null || isBelow(previous, own)) && (next === undefined || isBelow(own, next))

const roomFor = (previous: RankedTask | null, followers: RankedTask[]) => {
  const ranks = followers.slice(0, maxFollowers).map((task) => task.rank)
  const room = makeRoom(previous?.rank ?? null, ranks, followers.length <= maxFollowers)
  if (!room) throw new AppError('conflict', 'Too many tasks have the same rank here')
  return room
}

/** Deletes shares of the moved tasks with members of the destination, who read them as members. Returns the shares. */
const removeSharesWithMembers = async (
  tx: Tx,
  destination: string,
  locked: Map<string, LockedTaskRow>,
  moving: string[],
): Promise<Pick<Share, 'taskId' | 'userId' | 'permission'>[]> => {
  const sharees = [...new Set(moving.flatMap((member) => locked.get(member)!.sharees))]
  if (sharees.length === 0) return []
  const members = await selectReaders(tx, { projectId: destination, taskId: null }, sharees)
  return members.length === 0 ? [] : deleteSharesWith(tx, moving, members)
}

/** The assignees of the moved tasks who are members of the destination. */
const readersAmong = async (
  tx: Tx,
  destination: string,
  source: string,
  locked: Map<string, LockedTaskRow>,
  moving: string[],
): Promise<string[]> => {
  if (destination === source) return []
  const assignees = moving.map((member) => locked.get(member)!.task.assigneeId).filter((id) => id !== null)
  return assignees.length === 0
    ? []
    : selectReaders(tx, { projectId: destination, taskId: null }, [...new Set(assignees)])
}
