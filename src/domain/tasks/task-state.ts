// The state of the database as a batch of writes sees it: rows that were locked and read, with the effects of the
// requests that were decided before. Invariant: what was not read is never taken for absent: asking for it throws
// `NotLoaded`; so does what another transaction has locked, because its writer decides first.
import type { StoredComment } from '../../db/comments/comments.ts'
import type { Home, LoadedTask, TreeNode } from '../../db/tasks/task-loads.ts'
import type { StoredTask } from '../../db/tasks/tasks.ts'
import { AppError } from '../../errors.ts'
import type { MemberRole } from '../../model/project.ts'
import { searchedFields } from '../../model/task-fields.ts'
import type { PublicUser } from '../../model/user.ts'
import type { LoadedRows, StateChanges } from './loaded-rows.ts'
import { isSameValue } from './task-fields.ts'

/** The row is locked elsewhere, or the request needs rows that only a request before it in the batch made necessary. */
export class NotLoaded extends Error {
  override readonly name = 'NotLoaded'
}

/** A task and one user's access to it. */
export interface TaskAccess extends StoredTask {
  archivedAt: string | null
  member: MemberRole | null
  share: 'view' | 'edit' | null
  /** The users the task is shared with, by id. */
  sharees: string[]
}

/** Where a task is to be put in the tree. */
export interface Placement {
  /** Level of the parent, a root being 1; null where the project has no such task. */
  parentDepth: number | null
  /** Levels of the task with its subtasks; 1 for a task without subtasks and for a new one. */
  height: number
  /** Whether the parent is the task itself or one of its subtasks. */
  isCycle: boolean
}

export const homeKey = (userId: string, projectId: string | null): string => `${userId} ${projectId ?? ''}`
export const memberKey = (projectId: string, userId: string): string => `${projectId} ${userId}`

export class TaskState {
  /** The database's clock when the rows were read. */
  readonly at: string
  /** Of tasks that were written; null for a deleted one. */
  readonly #written = new Map<string, StoredTask | null>()
  readonly #loaded: Map<string, LoadedTask>
  readonly #archived = new Map<string, string | null>()
  readonly #lastRanks = new Map<string, string | null>()
  readonly #ancestors: Map<string, TreeNode>
  readonly #children = new Map<string, Set<string>>()
  /** Tasks whose children are all known. */
  readonly #complete = new Set<string>()
  readonly #comments: StoredComment[] = []
  readonly #undo: (() => void)[] = []

  constructor(private readonly rows: LoadedRows) {
    const homes = [...rows.homes.values()].filter((home) => home !== null)
    this.at = rows.tasks[0]?.readAt ?? homes[0]?.readAt ?? ''
    this.#loaded = new Map(rows.tasks.map((loaded) => [loaded.task.id, loaded]))
    this.#ancestors = new Map(rows.ancestors.map((node) => [node.id, node]))
    for (const { projectId, archivedAt, lastRank } of homes) {
      this.#archived.set(projectId, archivedAt)
      this.#lastRanks.set(projectId, lastRank)
    }
    for (const { task, archivedAt } of rows.tasks) {
      this.#archived.set(task.projectId, archivedAt)
      this.#childrenOf(task.parentId)?.add(task.id)
    }
    const below = [...rows.roots]
    for (let id = below.pop(); id !== undefined; id = below.pop()) {
      this.#complete.add(id)
      below.push(...(this.#children.get(id) ?? []))
    }
  }

  /** The task with the user's access; null where there is none. */
  access(userId: string, taskId: string): TaskAccess | null {
    const stored = this.#task(taskId)
    if (!stored) return null
    const shares = this.#loaded.get(taskId)?.shares
    const { projectId } = stored.task
    return {
      ...stored,
      archivedAt: this.#archived.get(projectId) ?? null,
      member: this.#member(projectId, userId),
      share: shares?.get(userId) ?? null,
      sharees: shares ? [...shares.keys()] : [],
    }
  }

  /** The project that the user creates tasks in, null for its Inbox; null where there is none. */
  home(userId: string, projectId: string | null): Home | null {
    const home = this.rows.homes.get(homeKey(userId, projectId))
    if (home === undefined) throw new NotLoaded()
    // An Inbox is not locked: it can be neither archived, deleted nor shared.
    if (home && projectId !== null && this.rows.locks?.projects.has(projectId) === false)
      throw new NotLoaded()
    return home
  }

  /** The rank of the project's last task. */
  lastRank(projectId: string): string | null {
    const rank = this.#lastRanks.get(projectId)
    if (rank === undefined) throw new NotLoaded()
    return rank
  }

  /** Whether a user reads the tasks of a project, or this one of them. @param taskId null for a new task. */
  isReader(userId: string, projectId: string, taskId: string | null): boolean {
    if (this.#member(projectId, userId) !== null) return true
    return taskId !== null && this.#loaded.get(taskId)?.shares.has(userId) === true
  }

  /** The public shape of a user who is about to write something. 401 where the account is gone. */
  author(userId: string): PublicUser {
    const author = this.rows.authors.get(userId)
    if (author === undefined) throw new NotLoaded()
    if (author === null) throw new AppError('unauthenticated')
    return author
  }

  /** Whether the id belongs to a task or belonged to one. */
  isTaken(id: string): boolean {
    if (this.#written.has(id)) return true
    if (!this.rows.newIds.has(id)) throw new NotLoaded()
    return this.rows.takenIds.has(id)
  }

  /** Whether the batch has locked the tree of the project. @param taskId the task whose place changes; null for a new one. */
  hasTree(projectId: string, taskId: string | null): boolean {
    const { locks } = this.rows
    if (!locks?.trees.has(projectId)) {
      // Which trees to lock was decided before another request of this batch changed the task.
      if (locks?.mode === 'skip' && taskId !== null && this.#written.has(taskId)) throw new NotLoaded()
      return false
    }
    if (!locks.projects.has(projectId)) throw new NotLoaded()
    return true
  }

  /** The facts that decide whether a task can be put under the parent. @param taskId null for a new task. */
  placement(projectId: string, taskId: string | null, parentId: string): Placement {
    let isCycle = false
    let depth = 0
    let node = this.#node(parentId)
    if (!node || node.projectId !== projectId) return { parentDepth: null, height: 1, isCycle }
    for (; node; node = node.parentId === null ? null : this.#node(node.parentId)) {
      depth += 1
      isCycle ||= node.id === taskId
    }
    return { parentDepth: depth, height: taskId === null ? 1 : this.#levels(taskId).length, isCycle }
  }

  /** The ids of the task and of all its subtasks, parents before subtasks. */
  subtree(id: string): string[] {
    return this.#levels(id).flat()
  }

  /** A task of a subtree, whose access follows from its root's. */
  subtask(id: string): { task: StoredTask['task']; sharees: string[] } {
    const stored = this.#task(id)
    if (!stored) throw new NotLoaded()
    return { task: stored.task, sharees: [...(this.#loaded.get(id)?.shares.keys() ?? [])] }
  }

  create(stored: StoredTask): void {
    const { id, projectId, parentId, rank } = stored.task
    this.#write(id, stored)
    const before = this.#lastRanks.get(projectId)
    this.#lastRanks.set(projectId, rank)
    this.#complete.add(id)
    this.#undo.push(() => {
      if (before !== undefined) this.#lastRanks.set(projectId, before)
      this.#complete.delete(id)
    })
    this.#link(id, parentId)
  }

  change(stored: StoredTask): void {
    const { id, parentId } = stored.task
    const before = this.#task(id)!.task.parentId
    this.#write(id, stored)
    if (before === parentId) return
    this.#unlink(id, before)
    this.#link(id, parentId)
  }

  remove(ids: string[]): void {
    for (const id of ids) {
      this.#unlink(id, this.#task(id)!.task.parentId)
      this.#write(id, null)
    }
  }

  /** A comment of a task that is in the state. */
  addComment(stored: StoredComment): void {
    this.#comments.push(stored)
    this.#undo.push(() => this.#comments.pop())
  }

  /** For `rollback`. */
  mark(): number {
    return this.#undo.length
  }

  /** Takes back every effect since the mark: the request that had them failed. */
  rollback(mark: number): void {
    while (this.#undo.length > mark) this.#undo.pop()!()
  }

  changes(): StateChanges {
    // A task that was deleted after the comment takes it along.
    const comments = this.#comments.filter(({ comment }) => this.#written.get(comment.taskId) !== null)
    const changes: StateChanges = { inserted: [], rewritten: [], updated: [], deleted: [], comments }
    for (const [id, stored] of this.#written) {
      const loaded = this.#loaded.get(id)
      if (stored === null) changes.deleted.push(id)
      else if (!loaded) changes.inserted.push(stored)
      else if (hasOtherText(loaded, stored)) changes.rewritten.push(stored)
      else changes.updated.push(stored)
    }
    // In one order: two batches that insert the same ids of clients could deadlock.
    changes.inserted.sort((a, b) => (a.task.id < b.task.id ? -1 : 1))
    return changes
  }

  #task(id: string): StoredTask | null {
    const written = this.#written.get(id)
    if (written !== undefined) return written
    const loaded = this.#loaded.get(id)
    if (loaded && this.rows.locks?.tasks.has(id) === false) {
      // After waiting for locks, what was not locked did not exist then: the creation comes after this write.
      if (this.rows.locks.mode === 'wait') return null
      throw new NotLoaded()
    }
    if (!loaded && !this.rows.taskIds.has(id)) throw new NotLoaded()
    return loaded ?? null
  }

  #member(projectId: string, userId: string): MemberRole | null {
    const role = this.rows.memberships.get(memberKey(projectId, userId))
    if (role === undefined) throw new NotLoaded()
    return role
  }

  #node(id: string): TreeNode | null {
    const written = this.#written.get(id)
    if (written === null) return null
    const task = written?.task ?? this.#loaded.get(id)?.task
    if (task) return task
    const node = this.#ancestors.get(id)
    if (!node && !this.rows.parentIds.has(id)) throw new NotLoaded()
    return node ?? null
  }

  /** The ids of the task and its subtasks, level by level, ascending within each. */
  #levels(id: string): string[][] {
    const levels = [[id]]
    for (;;) {
      const below: string[] = []
      for (const parent of levels.at(-1)!) {
        if (!this.#complete.has(parent)) throw new NotLoaded()
        below.push(...(this.#children.get(parent) ?? []))
      }
      if (below.length === 0) return levels
      levels.push(below.sort())
    }
  }

  #childrenOf(parentId: string | null): Set<string> | null {
    if (parentId === null) return null
    let children = this.#children.get(parentId)
    if (!children) this.#children.set(parentId, (children = new Set()))
    return children
  }

  #link(id: string, parentId: string | null): void {
    const children = this.#childrenOf(parentId)
    if (!children) return
    children.add(id)
    this.#undo.push(() => children.delete(id))
  }

  #unlink(id: string, parentId: string | null): void {
    const children = this.#childrenOf(parentId)
    if (!children?.delete(id)) return
    this.#undo.push(() => children.add(id))
  }

  #write(id: string, stored: StoredTask | null): void {
    const before = this.#written.get(id)
    this.#written.set(id, stored)
    this.#undo.push(() => {
      if (before === undefined) this.#written.delete(id)
      else this.#written.set(id, before)
    })
  }
}

const hasOtherText = ({ task: before }: StoredTask, { task: after }: StoredTask): boolean =>
  before.projectId !== after.projectId ||
  searchedFields.some((name) => !isSameValue(before[name], after[name]))
