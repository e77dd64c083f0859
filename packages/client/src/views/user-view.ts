// The signed-in user's own view: projects, tasks shared one by one, notifications.
import type { Notification } from '../../../../src/model/notification.ts'
import type { Project } from '../../../../src/model/project.ts'
import type { Task } from '../../../../src/model/task.ts'
import type { User } from '../../../../src/model/user.ts'
import type { StoppedError } from '../errors.ts'
import type { Event } from '../connection/frames.ts'
import { LiveView, type LiveViewDeps } from './live-view.ts'
import type { LiveState } from './replica.ts'
import { UserModel } from './user-model.ts'

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

export class UserView {
  readonly #live: LiveView<UserModel, UserState>

  constructor(deps: LiveViewDeps) {
    this.#live = new LiveView(deps, {
      key: 'user:me',
      createModel: (context) => new UserModel(deps.http, context),
      buildState: ({ user, projects, sharedTasks, notifications }, staleSince) => ({
        user,
        projects: [...projects].sort(byKindThenId),
        sharedTasks: [...sharedTasks],
        notifications: notifications.newestFirst(),
        unreadCount: notifications.unreadCount,
        staleSince,
      }),
      isReplayBatched: false,
    })
    this.#live.start()
  }

  /** As of `ProjectView`. */
  get ready(): Promise<void> {
    return this.#live.ready
  }

  get state(): LiveState {
    return this.#live.state
  }

  get error(): StoppedError | null {
    return this.#live.error
  }

  get current(): UserState {
    return this.#live.current
  }

  onChange(listener: (event: Event | null) => void): () => void {
    return this.#live.onChange(listener)
  }

  /** The view of a project received a change: the user's scope has no events with names and counts of projects. */
  onProject(project: Project): void {
    if (this.#live.model.replaceProject(project)) this.#live.changed()
  }

  close(): void {
    this.#live.release()
  }

  /** Adds a holder, who closes the view too. */
  retain(signal?: AbortSignal): this {
    this.#live.retain(signal)
    return this
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

const byKindThenId = (a: Project, b: Project): number =>
  Number(a.kind !== 'inbox') - Number(b.kind !== 'inbox') || (a.id < b.id ? -1 : 1)
