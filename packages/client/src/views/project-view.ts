// A project as its user sees it: the server's state with this user's unconfirmed writes on top.
import type { Member, Project } from '../../../../src/model/project.ts'
import type { NewTask, Task, TaskMove, TaskPatch } from '../../../../src/model/task.ts'
import type { StoppedError } from '../errors.ts'
import type { Event } from '../connection/frames.ts'
import { newId } from '../outbox/ids.ts'
import { inOrder, overlay, type Change } from '../outbox/overlay.ts'
import type { Write } from '../outbox/outbox-entry.ts'
import { LiveView, type LiveViewDeps } from './live-view.ts'
import { ProjectModel, type ProjectModelDeps } from './project-model.ts'
import type { LiveState } from './replica.ts'

export interface ProjectState {
  /** Null until the first snapshot, and after the right to read it ended. */
  project: Project | null
  members: readonly Member[]
  /** By rank. */
  tasks: readonly Task[]
  byId: ReadonlyMap<string, Task>
  /** Ids of tasks with writes that are not settled. */
  pending: ReadonlySet<string>
  /** When this state was stored, if it comes from a storage and the server has not answered since (RFC 3339); else null. */
  staleSince: string | null
}

export class ProjectView {
  readonly #live: LiveView<ProjectModel, ProjectState>

  constructor(
    readonly id: string,
    private readonly deps: LiveViewDeps & ProjectModelDeps,
  ) {
    const { outbox } = deps
    const outboxListeners = [outbox.viewOpened(id), outbox.onChange(() => this.#live.changed())]
    this.#live = new LiveView(deps, {
      key: `project:${id}`,
      createModel: (context) => new ProjectModel(id, deps, context),
      buildState: (model, staleSince) => this.#buildState(model, staleSince),
      isReplayBatched: true,
    })
    this.#live.signal.addEventListener('abort', () => {
      for (const leave of outboxListeners) leave()
    })
    this.#live.start()
  }

  /**
   * Resolves with the first state, or when `close` comes first (`state` is `stopped` then); rejects with
   * StoppedError.
   */
  get ready(): Promise<void> {
    return this.#live.ready
  }

  get state(): LiveState {
    return this.#live.state
  }

  /** Why it is stopped, or null. */
  get error(): StoppedError | null {
    return this.#live.error
  }

  get current(): ProjectState {
    return this.#live.current
  }

  /** Called after each change of `current` or `state`: with the event that made it, comments and the like too. */
  onChange(listener: (event: Event | null) => void): () => void {
    return this.#live.onChange(listener)
  }

  /**
   * Creates a task; it is in `current` at once.
   *
   * @returns A write whose `settled` resolves with the server's task, and rejects with ApiError, ConflictError or
   *   OutboxError. The same holds for `update`, `delete` and `move`.
   */
  create(task: Omit<NewTask, 'id' | 'projectId'>): Write {
    const id = newId()
    return this.#write(id, { kind: 'create', task: { ...task, id } })
  }

  update(taskId: string, changes: TaskPatch): Write {
    return this.#write(taskId, { kind: 'update', changes })
  }

  delete(taskId: string): Write {
    return this.#write(taskId, { kind: 'delete' })
  }

  move(taskId: string, to: TaskMove): Write {
    return this.#write(taskId, { kind: 'move', to })
  }

  /** Releases this caller's reference; the last one ends the view. Unsent writes are still sent. */
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

  #write(taskId: string, change: Change): Write {
    // The session is over: the write would be sent with the session of the next user.
    if (this.error?.reason === 'signed_out') return refusedWrite(taskId, this.error)
    const shown = this.current.byId.get(taskId) ?? null
    // The write is made on top of the server's version, not on top of this user's own unconfirmed writes.
    const version = this.#live.model.task(taskId)?.version ?? 1
    const base = shown && { ...shown, version }
    return this.deps.outbox.add({ op: newId(), projectId: this.id, taskId, change, base })
  }

  #buildState(model: ProjectModel, staleSince: string | null): ProjectState {
    const base = new Map<string, Task>()
    for (const task of model.tasks) base.set(task.id, task)
    const writes = this.deps.outbox.pending.filter(({ projectId }) => projectId === this.id)
    const byId = model.project ? overlay(base, writes, this.id) : base
    return {
      project: model.project,
      members: [...model.members],
      tasks: inOrder(byId.values()),
      byId,
      pending: new Set(writes.map(({ taskId }) => taskId)),
      staleSince,
    }
  }
}

const refusedWrite = (taskId: string, error: Error): Write => {
  const settled = Promise.reject<Task | null>(error)
  settled.catch(() => {}) // a program may not look at it
  return { op: newId(), taskId, settled }
}
