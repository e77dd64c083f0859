// What a client holds of projects, by the version rule: whatever is repeated or comes late has no effect. A deletion is
// remembered, a revoked project is purged.
import { canonical, positionOf, type FinalView, type SeenTask } from '../history.ts'

interface Held {
  version: number
  /** The number of its entry, or of its snapshot. */
  seq: number
  project: string
  task: any
}

export class LiveState {
  readonly #tasks = new Map<string, Held>()

  apply(event: any): void {
    if (!String(event.type).startsWith('task.')) return
    const held = this.#tasks.get(event.id)
    if (held && held.version >= event.version) return
    this.#tasks.set(event.id, {
      version: event.version,
      seq: positionOf(event.cursor)!.seq,
      project: String(event.scope).slice('project:'.length),
      task: event.type === 'task.deleted' ? null : event.data,
    })
  }

  replace(project: string, snapshot: { tasks: any[]; cursor: string }): void {
    const { seq } = positionOf(snapshot.cursor)!
    const listed = new Set<string>()
    for (const task of snapshot.tasks) {
      listed.add(task.id)
      const held = this.#tasks.get(task.id)
      if (!held || held.version < task.version)
        this.#tasks.set(task.id, { version: task.version, seq, project, task })
    }
    for (const [id, held] of this.#tasks)
      if (held.task && held.project === project && held.seq <= seq && !listed.has(id))
        this.#tasks.set(id, { ...held, version: held.version + 1, seq, task: null })
  }

  purge(project: string): void {
    for (const [id, held] of this.#tasks) if (held.project === project) this.#tasks.delete(id)
  }

  /** What a view of the projects ends with. */
  views(client: string, view: string, projects: readonly string[]): FinalView[] {
    return projects.map((project) => ({ client, view, project, tasks: this.#shown(project) }))
  }

  #shown(project: string): SeenTask[] {
    return [...this.#tasks].flatMap(([task, held]) =>
      held.task && held.project === project
        ? { task, version: held.version, content: canonical(held.task) }
        : [],
    )
  }
}
