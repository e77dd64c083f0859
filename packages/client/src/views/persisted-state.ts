// The stored form of a view's state, and the check of a value that was read back: storages are shared with older and newer
// programs, and their content can be edited.
import type { Notification } from '../../../../src/model/notification.ts'
import type { Member, Project } from '../../../../src/model/project.ts'
import type { Task } from '../../../../src/model/task.ts'
import type { User } from '../../../../src/model/user.ts'
import type { VersionedItem } from './versioned-map.ts'

/** The stored state of a project. */
export interface PersistedProject {
  project: Project
  members: VersionedItem<Member>[]
  tasks: VersionedItem<Task>[]
}

export const isPersistedProject = (state: unknown): state is PersistedProject =>
  isObject(state) &&
  isObject(state['project']) &&
  typeof state['project']['id'] === 'string' &&
  areItems<Member>(state['members'], (member) => 'userId' in member) &&
  areItems<Task>(state['tasks'], (task) => 'id' in task && 'rank' in task)

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null

/** The stored state of the user's own view. */
export interface PersistedUser {
  user: User
  userVersion: number
  unreadCount: number
  projects: VersionedItem<Project>[]
  tasks: VersionedItem<Task>[]
  notifications: VersionedItem<Notification>[]
}

export const isPersistedUser = (state: unknown): state is PersistedUser => {
  if (typeof state !== 'object' || state === null) return false
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- each member is checked below
  const { user, userVersion, unreadCount, projects, tasks, notifications } = state as Record<string, unknown>
  const hasId = (value: object): boolean => 'id' in value
  return (
    typeof user === 'object' &&
    user !== null &&
    hasId(user) &&
    Number.isSafeInteger(userVersion) &&
    Number.isSafeInteger(unreadCount) &&
    [projects, tasks, notifications].every((items) => areItems(items, hasId))
  )
}

/** Whether a stored value can be given to `VersionedMap.reset`. */
const areItems = <T>(value: unknown, isValue: (value: object) => boolean): value is VersionedItem<T>[] =>
  Array.isArray(value) &&
  value.every((item: unknown) => {
    if (!Array.isArray(item)) return false
    const [id, version, one]: unknown[] = item
    const isHeld = one === null || (typeof one === 'object' && one !== undefined && isValue(one))
    return typeof id === 'string' && Number.isSafeInteger(version) && isHeld
  })
