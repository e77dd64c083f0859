// What a batch of writes to tasks has locked and read, and what it stores afterwards. `task-state.ts` decides between them.
import type { StoredComment } from '../../db/comments/comments.ts'
import type { Home, LoadedTask, LockMode, Membership, TreeNode } from '../../db/tasks/task-loads.ts'
import type { StoredTask } from '../../db/tasks/tasks.ts'
import type { PublicUser } from '../../model/user.ts'

/** The locks a batch holds. */
export interface Locks {
  mode: LockMode
  projects: ReadonlySet<string>
  /** Projects whose trees the batch set out to lock; one that is not in `projects` is locked elsewhere. */
  trees: ReadonlySet<string>
  tasks: ReadonlySet<string>
}

/** The rows a batch has read. A key without its row: the row does not exist. */
export interface LoadedRows {
  /** By `homeKey`. */
  homes: Map<string, Home | null>
  /** Ids that were read. */
  taskIds: Set<string>
  tasks: LoadedTask[]
  /** By `memberKey`. */
  memberships: Map<string, Membership['role'] | null>
  parentIds: Set<string>
  ancestors: TreeNode[]
  newIds: Set<string>
  takenIds: Set<string>
  /** By id; null where there is no such user. */
  authors: Map<string, PublicUser | null>
  /** Tasks whose whole subtree was read. */
  roots: string[]
  /** Null where nothing is locked: the rows are read to find out what to lock. */
  locks: Locks | null
}

/** What to write: one row a task, however many requests changed it. */
export interface StateChanges {
  inserted: StoredTask[]
  /** Tasks of which a searched field or the project changed. */
  rewritten: StoredTask[]
  /** Other tasks that changed. */
  updated: StoredTask[]
  /** Also those that this batch inserts: their ids stay taken. */
  deleted: string[]
  /** New comments of tasks that exist afterwards. */
  comments: StoredComment[]
}
