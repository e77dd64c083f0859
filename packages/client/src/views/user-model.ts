// The user's own scope as the server has it: the user, projects, tasks shared one by one, notifications. It follows the
// log of `user:<id>`. Invariant: a value is replaced only by one with a higher version; all deletions are remembered,
// for versions differ between the end of a share and its task, and deletions are few.
import type { Project } from '../../../../src/model/project.ts'
import type { UserSnapshot } from '../../../../src/model/snapshot.ts'
import type { Share, Task } from '../../../../src/model/task.ts'
import type { User } from '../../../../src/model/user.ts'
import type { HttpClient } from '../http/http-client.ts'
import { path } from '../http/path.ts'
import type { ModelContext } from './live-view.ts'
import { NotificationList, type NotificationData } from './notification-list.ts'
import { isPersistedUser, type PersistedUser } from './persisted-state.ts'
import { projectPath, taskPath } from './resource-paths.ts'
import type { LoadedSnapshot, ScopeModel } from './scope-model.ts'
import { VersionedMap } from './versioned-map.ts'
import { seqOf, type Event } from '../connection/frames.ts'

export class UserModel implements ScopeModel {
  #user: User | null = null
  #userVersion = 0
  readonly #projects = new VersionedMap<Project>()
  readonly #tasks = new VersionedMap<Task>()
  readonly notifications = new NotificationList()

  constructor(
    private readonly http: HttpClient,
    private readonly context: ModelContext,
  ) {}

  get user(): User | null {
    return this.#user
  }

  get projects(): Iterable<Project> {
    return this.#projects.values()
  }

  get sharedTasks(): Iterable<Task> {
    return this.#tasks.values()
  }

  /** Takes what the view of a project received. False if nothing changed. */
  replaceProject(project: Project): boolean {
    const held = this.#projects.get(project.id)
    if (!held) this.context.reader.repeat(projectPath(project.id))
    if (!held || (held.version >= project.version && held.role === project.role)) return false
    this.#projects.replaceValue(project.id, project)
    return true
  }

  async load(signal: AbortSignal): Promise<LoadedSnapshot> {
    const snapshot = await this.http.value<UserSnapshot>({
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
        this.context.reader.clear()
        this.#user = user
        this.#userVersion = at
        this.#projects.reset(projects.map((project) => [project.id, at, project]))
        const whole = sharedTasks.filter((task) => !task.omitted)
        this.#tasks.reset(whole.map((task) => [task.id, task.version, task]))
        for (const task of sharedTasks) if (task.omitted) this.#readTask(task.id)
        this.notifications.reset(
          notifications.map((one) => [one.id, at, one]),
          unreadCount,
        )
      },
    }
  }

  apply(event: Event): void {
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
        return this.notifications.apply(id, version, event.data as NotificationData)
      case 'access.granted':
        return this.#readProject(id!, version)
      case 'access.revoked':
        this.context.reader.cancel(projectPath(id!))
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

  confirmed(): void {}

  purge(): void {
    this.#user = null
    this.#projects.reset([])
    this.#tasks.reset([])
    this.notifications.reset([], 0)
  }

  dump(): PersistedUser | null {
    if (!this.#user || !this.context.reader.isIdle) return null
    return {
      user: this.#user,
      userVersion: this.#userVersion,
      unreadCount: this.notifications.unreadCount,
      projects: this.#projects.items(),
      tasks: this.#tasks.items(),
      notifications: this.notifications.items(),
    }
  }

  restore(state: unknown): boolean {
    if (!isPersistedUser(state)) return false
    this.#user = state.user
    this.#userVersion = state.userVersion
    this.#projects.reset(state.projects)
    this.#tasks.reset(state.tasks)
    this.notifications.reset(state.notifications, state.unreadCount)
    return true
  }

  /** A task that is not held is being read, or its share has ended. */
  #applySharedTask(id: string, version: number, task: Task): void {
    if (this.#tasks.get(id)) this.#tasks.put(id, version, task)
    else this.context.reader.repeat(taskPath(id))
  }

  /** Removed without remembering its version: a later share may bring the task back unchanged. */
  #removeTask(id: string): void {
    this.context.reader.cancel(taskPath(id))
    this.#tasks.remove(id)
  }

  #readTask(id: string): void {
    this.context.reader.read(taskPath(id), (task: Task) => {
      this.#tasks.put(id, task.version, task)
      this.context.changed()
    })
  }

  #readProject(id: string, version: number): void {
    this.context.reader.read(projectPath(id), (project: Project) => {
      this.#projects.put(id, version, project)
      this.replaceProject(project) // a repeated read has the number of the same entry
      this.context.changed()
    })
  }
}
