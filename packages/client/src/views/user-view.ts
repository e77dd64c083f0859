// The view of one user: projects, tasks shared with them, notifications. It follows the log of `user:<id>`.
import type { Notification } from '../../../../src/model/notification.ts'
import type { Project } from '../../../../src/model/project.ts'
import type { UserSnapshot } from '../../../../src/model/snapshot.ts'
import type { Share, Task } from '../../../../src/model/task.ts'
import type { User } from '../../../../src/model/user.ts'
import type { StoppedError } from '../errors.ts'
import { isPersistedUser, type PersistedUser } from './persisted-state.ts'
import { Listeners } from '../async/listeners.ts'
import { path, type Path } from '../http/path.ts'
import type { ViewDeps } from './project-view.ts'
import { Replica, type LiveState } from './replica.ts'
import type { LoadedSnapshot } from './scope-model.ts'
import { ResourceReader } from './resource-reader.ts'
import { VersionedMap } from './versioned-map.ts'
import { seqOf, type Event } from '../connection/frames.ts'

export interface UserState {
  /** Null until the first snapshot. */
  user: User | null
  projects: readonly Project[]
  sharedTasks: readonly Task[]
  /** Newest first: the newest 100 of the snapshot and what came since. */
  notifications: readonly Notification[]
  /** Of all notifications, not only those held. */
  unreadCount: number
  /** As of a project's view. */
  staleSince: string | null
}

/** Notifications held; older ones are a list away. */
const maxNotifications = 1_000

export class UserView {
  #current: UserState | null = null
  #user: User | null = null
  #userVersion = 0
  #unreadCount = 0
  readonly #projects = new VersionedMap<Project>()
  readonly #tasks = new VersionedMap<Task>()
  readonly #notifications = new VersionedMap<Notification>()
  readonly #listeners = new Listeners<Event | null>()
  readonly #replica: Replica
  readonly #reader: ResourceReader

  constructor(private readonly deps: ViewDeps) {
    this.#replica = new Replica(
      {
        load: (signal) => this.#load(signal),
        apply: (event) => {
          this.#applyEvent(event)
          this.#emitChange(event)
        },
        // Deletions are few, and versions differ here between a share's end and a task's: all are remembered.
        confirmed: () => {},
        changed: () => this.#emitChange(),
        purge: () => this.#purge(),
        dump: () => this.#dump(),
        restore: (state) => this.#restore(state),
      },
      deps.connection,
      deps.timing,
      { views: deps.persisted, key: 'user:me' },
    )
    this.#reader = new ResourceReader(deps, this.#replica.signal)
    this.#replica.start()
  }

  /** As of `ProjectView`. */
  get ready(): Promise<void> {
    return this.#replica.ready
  }

  get state(): LiveState {
    return this.#replica.state
  }

  get error(): StoppedError | null {
    return this.#replica.error
  }

  get current(): UserState {
    return (this.#current ??= {
      user: this.#user,
      projects: [...this.#projects.values()].sort(byKindThenId),
      sharedTasks: [...this.#tasks.values()],
      notifications: [...this.#notifications.values()].sort(newestFirst).slice(0, maxNotifications),
      unreadCount: this.#unreadCount,
      staleSince: this.#replica.staleSince,
    })
  }

  #dump(): PersistedUser | null {
    if (!this.#user || !this.#reader.isIdle) return null
    return {
      user: this.#user,
      userVersion: this.#userVersion,
      unreadCount: this.#unreadCount,
      projects: this.#projects.items(),
      tasks: this.#tasks.items(),
      notifications: this.#notifications.items(),
    }
  }

  #restore(state: unknown): boolean {
    if (!isPersistedUser(state)) return false
    this.#user = state.user
    this.#userVersion = state.userVersion
    this.#unreadCount = state.unreadCount
    this.#projects.reset(state.projects)
    this.#tasks.reset(state.tasks)
    this.#notifications.reset(state.notifications)
    return true
  }

  onChange(listener: (event: Event | null) => void): () => void {
    return this.#listeners.add(listener)
  }

  /** The view of a project received a change: the user's scope has no events with names and counts of projects. */
  onProject(project: Project): void {
    const held = this.#projects.get(project.id)
    if (!held || (held.version >= project.version && held.role === project.role)) return
    this.#projects.replaceValue(project.id, project)
    this.#emitChange()
  }

  close(): void {
    this.#replica.release()
  }

  /** One more holder, who closes it too. */
  retain(signal?: AbortSignal): this {
    this.#replica.retain(signal)
    return this
  }

  [Symbol.dispose](): void {
    this.close()
  }

  async #load(signal: AbortSignal): Promise<LoadedSnapshot> {
    const snapshot = await this.deps.http.value<UserSnapshot>({
      method: 'GET',
      path: path`/api/users/me/snapshot`,
      signal,
    })
    const { user, projects, sharedTasks, notifications, unreadCount, cursor } = snapshot
    return {
      scope: `user:${user.id}`,
      cursor,
      install: () => {
        const at = seqOf(cursor)
        this.#reader.clear()
        this.#user = user
        this.#userVersion = at
        this.#unreadCount = unreadCount
        this.#projects.reset(projects.map((project) => [project.id, at, project]))
        const whole = sharedTasks.filter((task) => !task.omitted)
        this.#tasks.reset(whole.map((task) => [task.id, task.version, task]))
        for (const task of sharedTasks) if (task.omitted) this.#readTask(task.id)
        this.#notifications.reset(notifications.map((one) => [one.id, at, one]))
      },
    }
  }

  #applyEvent(event: Event): void {
    const { type, id, version } = event
    switch (type) {
      case 'user.updated':
        if (version <= this.#userVersion) return
        this.#userVersion = version
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the log's contract
        this.#user = event.data as User
        return
      case 'notification.created':
      case 'notification.read':
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the log's contract
        return this.#applyNotification(id, version, event.data as Notification & { upTo: string })
      case 'access.granted':
        return this.#readProject(id!, version)
      case 'access.revoked':
        this.#reader.cancel(projectPath(id!))
        this.#projects.put(id!, version, null)
        return
      case 'task.updated':
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the log's contract
        if (!event.omitted) this.#applySharedTask(id!, version, event.data as Task)
        else this.#readTask(id!)
        return
      case 'task.deleted':
        this.#removeTask(id!)
        return
      case 'share.added':
        return this.#readTask(id!)
      case 'share.removed':
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the log's contract
        if ((event.data as Share).userId === this.#user?.id) this.#removeTask(id!)
        return
    }
  }

  #applyNotification(id: string | null, version: number, data: Notification & { upTo: string }): void {
    if (id === null) {
      // Everything made until then is read.
      for (const one of this.#notifications.values())
        if (one.readAt === null && one.createdAt <= data.upTo)
          this.#notifications.put(one.id, version, { ...one, readAt: data.upTo })
      // What is unread now came after that, and all of it has arrived.
      this.#unreadCount = [...this.#notifications.values()].filter(({ readAt }) => readAt === null).length
      return
    }
    const isUnread = data.readAt === null
    if (!this.#notifications.put(id, version, data)) return
    this.#unreadCount = Math.max(0, this.#unreadCount + (isUnread ? 1 : -1))
    if (this.#notifications.size > 2 * maxNotifications) this.#dropOldest()
  }

  /** Nothing comes again about the oldest but that they were read, and that is counted all the same. */
  #dropOldest(): void {
    const newest = [...this.#notifications.values()].sort(newestFirst)
    for (const { id } of newest.slice(maxNotifications)) this.#notifications.remove(id)
  }

  /** A task that is not held is one whose share ended, or is about to be read. */
  #applySharedTask(id: string, version: number, task: Task): void {
    if (this.#tasks.get(id)) this.#tasks.put(id, version, task)
  }

  /** Not remembered by version: a share may come back with the task unchanged. */
  #removeTask(id: string): void {
    this.#reader.cancel(taskPath(id))
    this.#tasks.remove(id)
  }

  #readTask(id: string): void {
    this.#reader.read(taskPath(id), (task: Task) => {
      this.#tasks.put(id, task.version, task)
      this.#emitChange()
    })
  }

  #readProject(id: string, version: number): void {
    this.#reader.read(projectPath(id), (project: Project) => {
      this.#projects.put(id, version, project)
      this.#emitChange()
    })
  }

  #purge(): void {
    this.#user = null
    for (const held of [this.#projects, this.#tasks, this.#notifications]) held.reset([])
    this.#unreadCount = 0
  }

  #emitChange(event: Event | null = null): void {
    this.#current = null
    this.#listeners.emit(event)
  }
}

const taskPath = (id: string): Path => path`/api/tasks/${id}`
const projectPath = (id: string): Path => path`/api/projects/${id}`

const byKindThenId = (a: Project, b: Project): number =>
  Number(a.kind !== 'inbox') - Number(b.kind !== 'inbox') || (a.id < b.id ? -1 : 1)

const newestFirst = (a: Notification, b: Notification): number => (a.id < b.id ? 1 : -1)
