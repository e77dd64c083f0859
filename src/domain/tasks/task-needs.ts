// What writes to tasks lock and read before they are decided. Plain data, so that the needs of many requests add up to
// one set of statements.
import type { Home } from '../../db/tasks/task-loads.ts'
import type { TaskAccess } from './task-state.ts'

/** A project in which a user creates tasks. */
export interface HomeNeed {
  userId: string
  /** Null for the user's Inbox. */
  projectId: string | null
  /**
   * Of a task that is created below another: whether the project's tree is locked, from the project as it was before any
   * lock. Null for a root.
   */
  isTreeWanted: ((seen: Home) => boolean) | null
}

/** A write that changes the tree of a task's project: it deletes the task or may give it another parent. */
export interface TreeNeed {
  userId: string
  taskId: string
  /**
   * Whether the tree is locked, from the task as it was before any lock: a caller without the right must not delay
   * others by locks. Null where there is no such task. May throw the AppError that ends the request.
   */
  isWanted: (seen: TaskAccess | null) => boolean
}

export interface TaskNeeds {
  homes: HomeNeed[]
  /** Tasks that are changed or deleted. */
  tasks: string[]
  /** Users whose access to a task is asked for. */
  taskUsers: { taskId: string; userId: string }[]
  /** Users whose membership of a home is asked for, beside the creator's. */
  homeUsers: { home: HomeNeed; userId: string }[]
  trees: TreeNeed[]
  /** Tasks below which others are put. */
  parents: string[]
  /** Ids that clients chose for new tasks. */
  newIds: string[]
  /** Users whose public shape is shown as the author of something new. */
  authors: string[]
}

export const noNeeds = (): TaskNeeds => ({
  homes: [],
  tasks: [],
  taskUsers: [],
  homeUsers: [],
  trees: [],
  parents: [],
  newIds: [],
  authors: [],
})

/** The needs of all. */
export const sumOfNeeds = (all: TaskNeeds[]): TaskNeeds => ({
  homes: all.flatMap(({ homes }) => homes),
  tasks: [...new Set(all.flatMap(({ tasks }) => tasks))],
  taskUsers: all.flatMap(({ taskUsers }) => taskUsers),
  homeUsers: all.flatMap(({ homeUsers }) => homeUsers),
  trees: all.flatMap(({ trees }) => trees),
  parents: [...new Set(all.flatMap(({ parents }) => parents))],
  newIds: [...new Set(all.flatMap(({ newIds }) => newIds))],
  authors: [...new Set(all.flatMap(({ authors }) => authors))],
})
