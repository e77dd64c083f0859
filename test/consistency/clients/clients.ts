// One recorded run of contending sessions and live views on servers that run already: starts them, lets them be disturbed,
// waits until the views have everything, and checks the history.
import type { Database } from '../../../src/db/client.ts'
import type { Api, Person, Servers } from '../../oracle/api.ts'
import { createRandom } from '../../oracle/random.ts'
import { eventually } from '../../support/eventually.ts'
import { Contention } from './contention.ts'
import { Poller } from './poller.ts'
import { Watcher } from './watcher.ts'
import type { FinalView } from '../history.ts'
import type { Recorder } from '../recorder.ts'

export interface ClientsOptions {
  seed: number
  servers: Servers
  api: Api
  recorder: Recorder
  /** Owner first; the last loses and regains access to the first project. */
  people: Person[]
  /** Two, with all people as members; nothing else writes to them. */
  projects: string[]
  watchers: number
  pauseMs: number
  accessMs: number | null
}

export class Clients {
  #isStopped = false

  private constructor(
    private readonly watchers: Watcher[],
    private readonly poller: Poller,
    private readonly contention: Contention,
  ) {}

  static async start(options: ClientsOptions): Promise<Clients> {
    const { seed, servers, api, recorder, people, projects, pauseMs, accessMs } = options
    const random = createRandom(seed)
    const shared = { projects, servers, api, recorder }
    const watchers = Array.from(
      { length: options.watchers },
      (_, index) =>
        new Watcher({
          ...shared,
          name: `watcher-${seed}-${index}`,
          // The last person's view, and others.
          person: people.at(-1 - (index % people.length))!,
          random: createRandom(random.between(0, 1e9)),
          drops: { min: 200, max: 1_500 },
        }),
    )
    const poller = new Poller({ ...shared, name: `poller-${seed}`, person: people[0]!, everyMs: 50 })
    await Promise.all([...watchers.map((watcher) => watcher.start()), poller.start()])
    const contention = new Contention({ api, people, projects, random, pauseMs, accessMs })
    return new Clients(watchers, poller, contention)
  }

  /** Ends the writing; the views go on. */
  async stopWriting(): Promise<void> {
    await this.contention.stop()
  }

  /** Ends the writing, and waits at most `timeoutMs` until every view has everything. Call it once the faults are over. */
  async settle(db: Database, timeoutMs: number): Promise<FinalView[]> {
    for (const watcher of this.watchers) watcher.settle()
    await this.contention.stop()
    await this.poller.stop()
    const rows = await db.read(
      (sql) => sql<{ scope: string; seq: number }[]>`select scope, seq from scope_head`,
    )
    const heads = new Map(rows.map(({ scope, seq }) => [scope, seq]))
    await eventually(
      () => {
        if (!this.watchers.every((watcher) => watcher.hasReached(heads)))
          throw new Error('a view is behind the log')
      },
      { timeoutMs },
    ).catch(() => {}) // the history shows it
    this.stop()
    return [...this.watchers, this.poller].flatMap(({ finalViews }) => finalViews)
  }

  /** Requests that were never answered, and what else no history contains. */
  get faults(): string[] {
    return [...this.contention.faults, ...this.watchers.flatMap(({ faults }) => faults)]
  }

  stop(): void {
    if (this.#isStopped) return
    this.#isStopped = true
    for (const watcher of this.watchers) watcher.stop()
    void this.contention.stop()
    void this.poller.stop().catch(() => {})
  }
}
