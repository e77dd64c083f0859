// A project as the server has it: the snapshot with every event after it, without unconfirmed writes. Invariant: a value
// is replaced only by one with a higher version, so that repeated and reordered events have their effect once.
import type { Member, Project } from '../../../../src/model/project.ts'
import type { ProjectSnapshot } from '../../../../src/model/snapshot.ts'
import type { Task } from '../../../../src/model/task.ts'
import type { StoppedError } from '../errors.ts'
import type { HttpClient } from '../http/http-client.ts'
import { path } from '../http/path.ts'
import { inOrder } from '../outbox/overlay.ts'
import type { Outbox } from '../outbox/outbox.ts'
import type { Session } from '../session.ts'
import type { ModelContext } from './live-view.ts'
import { isPersistedProject, type PersistedProject } from './persisted-state.ts'
import { projectPath, taskPath } from './resource-paths.ts'
import type { LoadedSnapshot, ScopeModel } from './scope-model.ts'
import { VersionedMap } from './versioned-map.ts'
import { seqOf, type Event } from '../connection/frames.ts'

export interface ProjectModelDeps {
  http: HttpClient
  outbox: Outbox
  session: Pick<Session, 'userId'>
  /** Receives the project after each change of it. */
  onProject(project: Project): void
}

/** Tasks of one snapshot request. */
const pageTasks = 5_000

export class ProjectModel implements ScopeModel {
  #project: Project | null = null
  readonly #tasks = new VersionedMap<Task>()
  readonly #members = new VersionedMap<Member>()

  constructor(
    private readonly id: string,
    private readonly deps: ProjectModelDeps,
    private readonly context: ModelContext,
  ) {}

  get project(): Project | null {
    return this.#project
  }

  get members(): Iterable<Member> {
    return this.#members.values()
  }

  get tasks(): Iterable<Task> {
    return this.#tasks.values()
  }

  task(id: string): Task | null {
    return this.#tasks.get(id)
  }

  async load(signal: AbortSignal): Promise<LoadedSnapshot> {
    const tasks: Task[] = []
    let first: ProjectSnapshot | null = null
    for (let after: string | null | undefined; after !== null;) {
      const page: ProjectSnapshot = await this.deps.http.value({
        method: 'GET',
        path: path`/api/projects/${this.id}/snapshot`,
        query: { limit: pageTasks, after },
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
        this.context.reader.clear()
        this.#setProject(project)
        // `current` sorts by rank: sorting what is almost sorted is fast.
        this.#tasks.reset(inOrder(tasks).map((task) => [task.id, task.version, task]))
        this.#members.reset(members.map((member) => [member.userId, seqOf(cursor), member]))
      },
    }
  }

  apply(event: Event): void {
    const isOfTask = event.type.startsWith('task.')
    if (event.omitted && (isOfTask || event.type.startsWith('project.'))) return this.#readOmitted(event)
    this.#applyContent(event)
    if (isOfTask) this.#reportEcho(event, taskOf(event))
  }

  confirmed(cursor: string): void {
    this.#tasks.dropDeletions()
    this.#members.dropDeletions()
    this.deps.outbox.onConfirmed(this.id, cursor)
  }

  purge(error: StoppedError): void {
    // Unsent writes wait for their user to sign in again; writes to a project that is no longer readable never succeed.
    if (error.reason !== 'signed_out') this.deps.outbox.purge(this.id, error)
    this.#project = null
    this.#tasks.reset([])
    this.#members.reset([])
  }

  dump(): PersistedProject | null {
    if (!this.#project || !this.context.reader.isIdle) return null
    return { project: this.#project, members: this.#members.items(), tasks: this.#tasks.items() }
  }

  restore(state: unknown): boolean {
    if (!isPersistedProject(state) || state.project.id !== this.id) return false
    // Not passed to `onProject`: the user's own view may have a newer one.
    this.#project = state.project
    this.#members.reset(state.members)
    this.#tasks.reset(state.tasks)
    return true
  }

  #applyContent(event: Event): void {
    const { type, id, version, data } = event
    switch (type) {
      case 'task.created':
      case 'task.updated':
        this.#tasks.put(id!, version, taskOf(event))
        return
      case 'task.deleted':
        this.context.reader.cancel(taskPath(id!))
        this.#tasks.put(id!, version, null)
        return
      case 'project.updated':
        if (this.#project && version > this.#project.version)
          // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the log's contract; the role is not in it
          this.#setProject({ ...this.#project, ...(data as Omit<Project, 'role'>) })
        return
      case 'member.added':
      case 'member.updated':
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the log's contract
        this.#members.put(id!, version, data as Member)
        if (this.#isOwn(id!)) this.#readProject()
        return
      case 'member.removed':
        this.#members.put(id!, version, null)
        return
    }
  }

  #isOwn(userId: string): boolean {
    const own = this.deps.session.userId
    return own === null || own === userId
  }

  /** A deletion echoes once for each subtask; the write is about one of them. */
  #reportEcho({ op, id }: Event, value: Task | null): void {
    if (op !== undefined && id !== null) this.deps.outbox.onEcho(op, id, value)
  }

  /** The event lacks texts that were too large for its frame. The held value stays until they are read. */
  #readOmitted(event: Event): void {
    if (!event.type.startsWith('task.')) return this.#readProject()
    this.context.reader.read(taskPath(event.id!), (task: Task) => {
      if (task.projectId === this.id) this.#tasks.put(task.id, task.version, task)
      this.#reportEcho(event, task)
      this.context.changed()
    })
  }

  /** Reads the user's own role, which no event has: an admin's differs from that of the member. */
  #readProject(): void {
    this.context.reader.read(projectPath(this.id), (project: Project) => {
      const held = this.#project
      this.#setProject(held && held.version > project.version ? { ...held, role: project.role } : project)
      this.context.changed()
    })
  }

  #setProject(project: Project): void {
    this.#project = project
    this.deps.onProject(project)
  }
}

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the log's contract
const taskOf = ({ data }: Event): Task | null => (data as Task | undefined) ?? null
