// A project as it is: the server's state under the log, with this person's unsettled writes on top. `current` is an
// immutable value that is another one after each change, as stores of user interfaces want it.
import type { Member, Project } from '../../../../src/model/project.ts'
import type { ProjectSnapshot } from '../../../../src/model/snapshot.ts'
import type { NewTask, Task, TaskMove, TaskPatch } from '../../../../src/model/task.ts'
import type { StoppedError } from '../errors.ts'
import type { HttpClient } from '../http/http-client.ts'
import { newId } from '../outbox/ids.ts'
import { isPersistedProject, type PersistedProject } from './persisted-state.ts'
import type { PersistedViews } from './persisted-views.ts'
import { Listeners } from '../async/listeners.ts'
import { inOrder, overlay, type Change } from '../outbox/overlay.ts'
import type { Outbox } from '../outbox/outbox.ts'
import type { Write } from '../outbox/outbox-entry.ts'
import { path, type Path } from '../http/path.ts'
import { Replica, type LiveState } from './replica.ts'
import type { LoadedSnapshot } from './scope-model.ts'
import type { Connection } from '../connection/connection.ts'
import type { Session } from '../session.ts'
import type { Timing } from '../timing.ts'
import { ResourceReader } from './resource-reader.ts'
import { VersionedMap } from './versioned-map.ts'
import { seqOf, type Event } from '../connection/frames.ts'

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

export interface ViewDeps {
  http: HttpClient
  connection: Connection
  outbox: Outbox
  persisted: PersistedViews
  session: Pick<Session, 'userId'>
  /** Receives the project after each change of it. */
  onProject(project: Project): void
  timing: Timing
}

/** What one snapshot request takes. */
const pageTasks = 5_000

/** Replayed events that listeners receive together. */
const maxPendingEvents = 1_000

export class ProjectView {
  #current: ProjectState | null = null
  #project: Project | null = null
  readonly #tasks = new VersionedMap<Task>()
  readonly #members = new VersionedMap<Member>()
  readonly #listeners = new Listeners<Event | null>()
  /** Replayed events that listeners have not received yet. */
  #pendingEvents: Event[] = []
  readonly #replica: Replica
  readonly #reader: ResourceReader
  readonly #outboxListeners: (() => void)[]

  constructor(
    readonly id: string,
    private readonly deps: ViewDeps,
  ) {
    const { outbox, connection, timing } = deps
    this.#outboxListeners = [outbox.viewOpened(id), outbox.onChange(() => this.#emitChange())]
    this.#replica = new Replica(
      {
        load: (signal) => this.#load(signal),
        apply: (event) => this.#apply(event),
        confirmed: (cursor) => {
          this.#tasks.dropDeletions()
          this.#members.dropDeletions()
          outbox.onConfirmed(id, cursor)
        },
        changed: () => this.#emitChange(),
        purge: () => this.#purge(),
        dump: () => this.#dump(),
        restore: (state) => this.#restore(state),
      },
      connection,
      timing,
      { views: deps.persisted, key: `project:${id}` },
    )
    this.#replica.signal.addEventListener('abort', () => this.#unsubscribeOutbox())
    this.#reader = new ResourceReader(deps, this.#replica.signal)
    this.#replica.start()
  }

  /**
   * Resolves with the first state, or when `close` comes first (`state` is `stopped` then); rejects with
   * StoppedError.
   */
  get ready(): Promise<void> {
    return this.#replica.ready
  }

  get state(): LiveState {
    return this.#replica.state
  }

  /** Why it is stopped, or null. */
  get error(): StoppedError | null {
    return this.#replica.error
  }

  get current(): ProjectState {
    return (this.#current ??= this.#buildState())
  }

  /** Called after each change of `current` or `state`: with the event that made it, comments and the like too. */
  onChange(listener: (event: Event | null) => void): () => void {
    return this.#listeners.add(listener)
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

  #write(taskId: string, change: Change): Write {
    const shown = this.current.byId.get(taskId) ?? null
    // On top of which version: the server's, whatever of this person's own is still on the way.
    const version = this.#tasks.get(taskId)?.version ?? 1
    const base = shown && { ...shown, version }
    return this.deps.outbox.add({ op: newId(), projectId: this.id, taskId, change, base })
  }

  #buildState(): ProjectState {
    const base = new Map<string, Task>()
    for (const task of this.#tasks.values()) base.set(task.id, task)
    const writes = this.deps.outbox.pending.filter(({ projectId }) => projectId === this.id)
    const byId = this.#project ? overlay(base, writes, this.id) : base
    return {
      project: this.#project,
      members: [...this.#members.values()],
      tasks: inOrder(byId.values()),
      byId,
      pending: new Set(writes.map(({ taskId }) => taskId)),
      staleSince: this.#replica.staleSince,
    }
  }

  #dump(): PersistedProject | null {
    if (!this.#project || !this.#reader.isIdle) return null
    return { project: this.#project, members: this.#members.items(), tasks: this.#tasks.items() }
  }

  #restore(state: unknown): boolean {
    if (!isPersistedProject(state) || state.project.id !== this.id) return false
    // Of an unknown age: the person's own view may know a newer one.
    this.#project = state.project
    this.#members.reset(state.members)
    this.#tasks.reset(state.tasks)
    return true
  }

  async #load(signal: AbortSignal): Promise<LoadedSnapshot> {
    const snapshot = path`/api/projects/${this.id}/snapshot`
    const tasks: Task[] = []
    let first: ProjectSnapshot | null = null
    for (let after: string | null | undefined; after !== null;) {
      const query = { limit: pageTasks, after }
      const page: ProjectSnapshot = await this.deps.http.value({
        method: 'GET',
        path: snapshot,
        query,
        signal,
      })
      first ??= page
      tasks.push(...page.tasks)
      after = page.nextAfter
    }
    const { project, members, cursor } = first!
    return {
      scope: `project:${this.id}`,
      cursor,
      install: () => {
        this.#reader.clear()
        this.#setProject(project)
        // What is kept in order is soon put in order.
        this.#tasks.reset(inOrder(tasks).map((task) => [task.id, task.version, task]))
        this.#members.reset(members.map((member) => [member.userId, seqOf(cursor), member]))
      },
    }
  }

  #apply(event: Event): void {
    this.#applyEvent(event)
    if (event.type.startsWith('task.') && !event.omitted) this.#reportEcho(event, taskOf(event))
    // What was missed is shown at once, not one after another.
    if (this.#replica.isReplaying && this.#pendingEvents.length < maxPendingEvents)
      this.#pendingEvents.push(event)
    else this.#emitChange(event)
  }

  #isOwn(userId: string): boolean {
    const own = this.deps.session.userId
    return own === null || own === userId
  }

  /** A deletion echoes once for each subtask; the write is about one of them. */
  #reportEcho({ op, id }: Event, value: Task | null): void {
    if (op !== undefined && id !== null) this.deps.outbox.onEcho(op, id, value)
  }

  #applyEvent(event: Event): void {
    const { type, id, version } = event
    if (event.omitted && (type.startsWith('task.') || type.startsWith('project.')))
      return this.#readOmitted(event)
    switch (type) {
      case 'task.created':
      case 'task.updated':
        this.#tasks.put(id!, version, taskOf(event))
        return
      case 'task.deleted':
        this.#reader.cancel(taskPath(id!))
        this.#tasks.put(id!, version, null)
        return
      case 'project.updated':
        if (this.#project && version > this.#project.version)
          // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the log's contract; the role is not in it
          this.#setProject({ ...this.#project, ...(event.data as Omit<Project, 'role'>) })
        return
      case 'member.added':
      case 'member.updated':
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the log's contract
        this.#members.put(id!, version, event.data as Member)
        if (this.#isOwn(id!)) this.#readProject()
        return
      case 'member.removed':
        this.#members.put(id!, version, null)
        return
    }
  }

  /** The frame was too large for its texts. What is held stays until they are read. */
  #readOmitted(event: Event): void {
    if (!event.type.startsWith('task.')) return this.#readProject()
    this.#reader.read(taskPath(event.id!), (task: Task) => {
      if (task.projectId === this.id) this.#tasks.put(task.id, task.version, task)
      this.#reportEcho(event, task)
      this.#emitChange()
    })
  }

  /** No event has the own role, and an admin's is not the member's. */
  #readProject(): void {
    this.#reader.read(path`/api/projects/${this.id}`, (project: Project) => {
      const held = this.#project
      this.#setProject(held && held.version > project.version ? { ...held, role: project.role } : project)
      this.#emitChange()
    })
  }

  #setProject(project: Project): void {
    this.#project = project
    this.deps.onProject(project)
  }

  #purge(): void {
    const { reason } = this.#replica.error!
    // Unsent writes wait for their person; those to what may not be read any more never succeed.
    if (reason !== 'signed_out') this.deps.outbox.purge(this.id, this.#replica.error!)
    this.#project = null
    this.#tasks.reset([])
    this.#members.reset([])
  }

  #unsubscribeOutbox(): void {
    for (const leave of this.#outboxListeners) leave()
  }

  #emitChange(event: Event | null = null): void {
    this.#current = null
    for (const untold of this.#pendingEvents.splice(0)) this.#listeners.emit(untold)
    this.#listeners.emit(event)
  }
}

const taskPath = (id: string): Path => path`/api/tasks/${id}`

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the log's contract
const taskOf = ({ data }: Event): Task | null => (data as Task | undefined) ?? null
