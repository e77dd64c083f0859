// A live view of some projects over a socket that drops and resumes. It judges nothing: everything it receives goes to the
// recorder. Access to a project may end and return: it asks again with the cursor it had.
import type { Api, Person, Servers } from '../../oracle/api.ts'
import { Connection } from '../../oracle/connection.ts'
import type { Random } from '../../oracle/random.ts'
import { positionOf, type FinalView, type Step } from '../history.ts'
import type { Recorder } from '../recorder.ts'
import { LiveState } from './live-state.ts'

export interface WatcherOptions {
  name: string
  person: Person
  projects: string[]
  servers: Servers
  api: Api
  recorder: Recorder
  random: Random
  /** Milliseconds between two drops of the connection. */
  drops: { min: number; max: number }
}

const retryMs = 200
const scopeOf = (project: string): string => `project:${project}`

export class Watcher {
  /** Frames that a correct server never sends, and snapshots that were refused. */
  readonly faults: string[] = []
  readonly #state = new LiveState()
  readonly #cursors = new Map<string, string>()
  readonly #synced = new Set<string>()
  readonly #connection: Connection

  constructor(private readonly options: WatcherOptions) {
    this.#connection = new Connection({
      ...options,
      backOff: { first: 20, most: 500 },
      onFrame: (frame, socket) => this.#frame(frame, socket),
      onReset: () => this.#synced.clear(),
    })
  }

  async start(): Promise<void> {
    for (const project of this.options.projects) await this.#readSnapshot(project)
    this.#connection.start()
  }

  /** From now on it only follows. */
  settle(): void {
    this.#connection.settle()
  }

  stop(): void {
    this.#connection.stop()
  }

  /** Whether every project was followed up to its last number. @param heads by scope. */
  hasReached(heads: ReadonlyMap<string, number>): boolean {
    return this.options.projects.every((project) => {
      const scope = scopeOf(project)
      const seq = positionOf(this.#cursors.get(scope))?.seq ?? -1
      return this.#synced.has(scope) && seq >= (heads.get(scope) ?? 0)
    })
  }

  get finalViews(): FinalView[] {
    const { name, person, projects } = this.options
    return this.#state.views(person.id, name, projects)
  }

  #step(scope: string, what: Step['what'], cursor: string | null): void {
    const { recorder, person, name } = this.options
    recorder.step(person.id, name, scope, what, cursor)
  }

  #join(project: string, socket: WebSocket): void {
    if (!this.#connection.isOpen(socket)) return
    const scope = scopeOf(project)
    const cursor = this.#cursors.get(scope)!
    this.#step(scope, 'join', cursor)
    socket.send(JSON.stringify({ t: 'sub', rid: project, scope, cursor }))
  }

  #frame(frame: any, socket: WebSocket): void {
    const { recorder, person, name, projects } = this.options
    switch (frame.t) {
      case 'welcome':
        for (const project of projects) this.#join(project, socket)
        break
      case 'event':
        recorder.frame(person.id, name, frame)
        this.#cursors.set(frame.scope, frame.cursor)
        this.#state.apply(frame)
        break
      case 'synced':
        this.#synced.add(frame.scope)
        this.#reached(frame)
        break
      case 'position':
        this.#reached(frame)
        break
      case 'resync':
        this.#synced.delete(frame.scope)
        this.#step(frame.scope, 'lost', null)
        void this.#resync(String(frame.scope).slice('project:'.length), socket)
        break
      case 'access':
        this.#synced.delete(frame.scope)
        this.#step(frame.scope, 'revoked', frame.cursor)
        this.#state.purge(String(frame.scope).slice('project:'.length))
        this.#retry(String(frame.scope).slice('project:'.length), socket)
        break
      case 'error':
        if (frame.code === 'not_found') {
          this.#step(scopeOf(frame.rid), 'lost', null)
          this.#retry(frame.rid, socket)
        } else this.#connection.leave(socket)
        break
    }
  }

  #retry(project: string, socket: WebSocket): void {
    setTimeout(() => this.#join(project, socket), retryMs)
  }

  #reached({ scope, cursor }: { scope: string; cursor: string }): void {
    this.#step(scope, 'reached', cursor)
    this.#cursors.set(scope, cursor)
  }

  async #resync(project: string, socket: WebSocket): Promise<void> {
    try {
      const isCurrent = (): boolean => this.#connection.isCurrent(socket)
      if (await this.#readSnapshot(project, isCurrent)) this.#join(project, socket)
      else this.#retry(project, socket)
    } catch (error) {
      this.faults.push(String(error))
    }
  }

  /**
   * False where the project is not readable now. One that arrives after the connection was replaced is dropped: the view
   * may be past it on the next connection.
   */
  async #readSnapshot(project: string, isCurrent = (): boolean => true): Promise<boolean> {
    const { api, person } = this.options
    const path = `/api/projects/${project}/snapshot?limit=5000`
    const { status, body } = await api.call('GET', path, person.token)
    if (status !== 200 || !isCurrent()) return false
    this.#cursors.set(scopeOf(project), body.cursor)
    this.#step(scopeOf(project), 'snapshot', body.cursor)
    this.#state.replace(project, body)
    return true
  }
}
