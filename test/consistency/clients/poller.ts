// A live view of some projects over `GET /api/sync`, as clients have it whose network blocks sockets.
import type { Api, Person } from '../../oracle/api.ts'
import type { FinalView } from '../history.ts'
import { positionOf } from '../history.ts'
import type { Recorder } from '../recorder.ts'
import { LiveState } from './live-state.ts'

export interface PollerOptions {
  name: string
  person: Person
  projects: string[]
  api: Api
  recorder: Recorder
  everyMs: number
}

export class Poller {
  readonly #state = new LiveState()
  readonly #cursors = new Map<string, string>()
  #isStopped = false
  #running: Promise<void> = Promise.resolve()

  constructor(private readonly options: PollerOptions) {}

  async start(): Promise<void> {
    for (const project of this.options.projects) await this.#readSnapshot(project)
    this.#running = this.#pollAll()
  }

  /** Reads the rest; resolves when it has everything. */
  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#running
    for (const project of this.options.projects) while (await this.#poll(project)) continue
  }

  get finalViews(): FinalView[] {
    const { name, person, projects } = this.options
    return this.#state.views(person.id, name, projects)
  }

  async #pollAll(): Promise<void> {
    while (!this.#isStopped) {
      for (const project of this.options.projects) await this.#poll(project).catch(() => {}) // the last poll reports it
      await Bun.sleep(this.options.everyMs)
    }
  }

  /** Whether there is more. */
  async #poll(project: string): Promise<boolean> {
    const { api, person, recorder, name } = this.options
    const scope = `project:${project}`
    const cursor = this.#cursors.get(scope)!
    const path = `/api/sync?scope=${scope}&cursor=${encodeURIComponent(cursor)}`
    const { status, body } = await api.call('GET', path, person.token)
    if (status === 410) {
      recorder.step(person.id, name, scope, 'lost', null)
      return this.#readSnapshot(project)
    }
    if (status !== 200) throw new Error(`sync: ${status} ${body?.code}`)
    const [page] = body.scopes
    for (const event of page.events) {
      recorder.frame(person.id, name, event)
      this.#state.apply(event)
    }
    if (positionOf(page.cursor)!.seq > positionOf(cursor)!.seq)
      recorder.step(person.id, name, scope, 'reached', page.cursor)
    this.#cursors.set(scope, page.cursor)
    return page.more
  }

  async #readSnapshot(project: string): Promise<boolean> {
    const { api, person, recorder, name } = this.options
    const { status, body } = await api.call(
      'GET',
      `/api/projects/${project}/snapshot?limit=5000`,
      person.token,
    )
    if (status !== 200) throw new Error(`snapshot: ${status} ${body?.code}`)
    this.#cursors.set(`project:${project}`, body.cursor)
    recorder.step(person.id, name, `project:${project}`, 'snapshot', body.cursor)
    this.#state.replace(project, body)
    return true
  }
}
