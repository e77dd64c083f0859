// What concerns one person: projects, tasks shared singly, notifications. Under the log like a project's view.
import type { Notification } from '../model/notification.ts'
import type { Project } from '../model/project.ts'
import type { UserSnapshot } from '../model/snapshot.ts'
import type { Share, Task } from '../model/task.ts'
import type { User } from '../model/user.ts'
import { ApiError, type StoppedError } from './errors.ts'
import type { ViewDeps } from './project-view.ts'
import { Replica, type LiveState, type Loaded } from './replica.ts'
import { Versioned } from './versioned.ts'
import { jitter, sleep } from './wait.ts'
import { numberOf, type Event } from './wire.ts'

export interface UserState {
  /** Null until the first snapshot. */
  user: User | null
  projects: readonly Project[]
  sharedTasks: readonly Task[]
  /** Newest first: the newest 100 of the snapshot and what came since. */
  notifications: readonly Notification[]
  /** Of all notifications, not only those held. */
  unreadCount: number
}

/** Notifications held; older ones are a list away. */
const maxNotifications = 1_000

export class UserView {
  #current: UserState | null = null
  #user: User | null = null
  #unreadCount = 0
  readonly #projects = new Versioned<Project>()
  readonly #tasks = new Versioned<Task>()
  readonly #notifications = new Versioned<Notification>()
  readonly #reading = new Set<string>()
  readonly #listeners = new Set<(event: Event | null) => void>()
  readonly #replica: Replica

  constructor(private readonly deps: ViewDeps) {
    this.#replica = new Replica(
      {
        load: (signal) => this.#load(signal),
        apply: (event) => {
          this.#take(event)
          this.#changed(event)
        },
        // Deletions are few, and versions differ here between a share's end and a task's: all are remembered.
        confirmed: () => {},
        changed: () => this.#changed(),
        purge: () => this.#purge(),
      },
      deps.connection,
      deps.timing,
    )
  }

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
    })
  }

  onChange(listener: (event: Event | null) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  close(): void {
    this.#replica.release()
  }

  /** One more holder, who closes it too. */
  hold(signal?: AbortSignal): this {
    this.#replica.hold(signal)
    return this
  }

  [Symbol.dispose](): void {
    this.close()
  }

  async #load(signal: AbortSignal): Promise<Loaded> {
    const path = '/api/users/me/snapshot'
    const snapshot = await this.deps.http.value<UserSnapshot>({ method: 'GET', path, signal })
    const { user, projects, sharedTasks, notifications, unreadCount, cursor } = snapshot
    return {
      scope: `user:${user.id}`,
      cursor,
      install: () => {
        const at = numberOf(cursor)
        this.#reading.clear()
        this.#user = user
        this.#unreadCount = unreadCount
        this.#projects.reset(projects.map((project) => [project.id, at, project]))
        this.#tasks.reset(sharedTasks.map((task) => [task.id, task.version, task]))
        this.#notifications.reset(notifications.map((one) => [one.id, at, one]))
      },
    }
  }

  #take(event: Event): void {
    const { type, id, version } = event
    switch (type) {
      case 'user.updated':
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the log's contract
        this.#user = event.data as User
        return
      case 'notification.created':
      case 'notification.read':
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the log's contract
        return this.#notified(id, version, event.data as Notification & { upTo: string })
      case 'access.granted':
        return this.#read(`/api/projects/${id!}`, id!, (project: Project) => {
          this.#projects.put(id!, version, project)
        })
      case 'access.revoked':
        this.#reading.delete(id!)
        this.#projects.put(id!, version, null)
        return
      case 'task.updated':
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the log's contract
        if (!event.omitted) this.#takeShared(id!, version, event.data as Task)
        else this.#readTask(id!)
        return
      case 'task.deleted':
        this.#dropTask(id!)
        return
      case 'share.added':
        return this.#readTask(id!)
      case 'share.removed':
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the log's contract
        if ((event.data as Share).userId === this.#user?.id) this.#dropTask(id!)
        return
    }
  }

  #notified(id: string | null, version: number, data: Notification & { upTo: string }): void {
    if (id === null) {
      // Everything made until then is read.
      for (const one of this.#notifications.values())
        if (one.readAt === null && one.createdAt <= data.upTo)
          this.#notifications.put(one.id, version, { ...one, readAt: data.upTo })
      this.#unreadCount = 0
      return
    }
    const isUnread = data.readAt === null
    if (this.#notifications.put(id, version, data))
      this.#unreadCount = Math.max(0, this.#unreadCount + (isUnread ? 1 : -1))
  }

  /** A task that is not held is one whose share ended, or is about to be read. */
  #takeShared(id: string, version: number, task: Task): void {
    if (this.#tasks.get(id)) this.#tasks.put(id, version, task)
  }

  /** Not remembered by version: a share may come back with the task unchanged. */
  #dropTask(id: string): void {
    this.#reading.delete(id)
    this.#tasks.remove(id)
  }

  #readTask(id: string): void {
    this.#read(`/api/tasks/${id}`, id, (task: Task) => {
      this.#tasks.put(id, task.version, task)
    })
  }

  /** Reads what an event only names, unless it is gone again by then. */
  #read(path: string, id: string, take: (value: never) => void): void {
    if (this.#reading.has(id)) return
    this.#reading.add(id)
    void this.#readUntilThere(path, id, take)
  }

  async #readUntilThere(path: string, id: string, take: (value: never) => void): Promise<void> {
    const { http, timing } = this.deps
    const { signal } = this.#replica
    for (let failures = 0; this.#reading.has(id) && !signal.aborted;) {
      try {
        const value = await http.value<never>({ method: 'GET', path, signal })
        if (!this.#reading.delete(id)) return
        take(value)
        return this.#changed()
      } catch (error) {
        if (error instanceof ApiError && error.status === 404) return void this.#reading.delete(id)
        failures += 1
        await sleep(jitter(failures, timing.backOffFrom, timing.backOffTo), signal).catch(() => {})
      }
    }
  }

  #purge(): void {
    this.#user = null
    for (const held of [this.#projects, this.#tasks, this.#notifications]) held.reset([])
    this.#unreadCount = 0
  }

  #changed(event: Event | null = null): void {
    this.#current = null
    for (const listener of this.#listeners) listener(event)
  }
}

const byKindThenId = (a: Project, b: Project): number =>
  Number(a.kind !== 'inbox') - Number(b.kind !== 'inbox') || (a.id < b.id ? -1 : 1)

const newestFirst = (a: Notification, b: Notification): number => (a.id < b.id ? 1 : -1)
