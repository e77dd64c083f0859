// Writers with a ledger: lanes that create, change and delete tasks one after another, each write under its own
// Idempotency-Key and repeated until a server acknowledges it. Two lanes a project, so that they meet in a shard.
import type { Api, Person } from '../oracle/api.ts'
import { expectStatus } from '../oracle/api.ts'
import type { Ledger } from '../oracle/ledger.ts'
import type { Random } from '../oracle/random.ts'

export interface TrafficOptions {
  api: Api
  ledger: Ledger
  projects: { id: string; members: Person[] }[]
  lanesPerProject: number
  /** Pause of a lane between two writes, milliseconds. */
  everyMs: number
  random: Random
  /** Tasks of a lane at a time: beyond them it deletes. Default: no limit. */
  maxTasks?: number
}

export interface First {
  projectId: string
  op: string
  /** Since the mark. */
  ms: number
}

export class Traffic {
  /** Final failures: writes that were never acknowledged. */
  readonly faults: string[] = []
  readonly #running: Promise<void>[]
  readonly #firsts: (First | null)[] = []
  #markedAt = 0
  #slowestMs = 0
  #isStopped = false

  constructor(private readonly options: TrafficOptions) {
    const { projects, lanesPerProject } = options
    this.#running = projects.flatMap((project) =>
      Array.from({ length: lanesPerProject }, (_, lane) =>
        this.#lane(project, lane, this.#firsts.push(null) - 1),
      ),
    )
  }

  /** Starts to record the first success of each lane again. */
  mark(): void {
    this.#slowestMs = this.recoveredMs
    this.#markedAt = performance.now()
    this.#firsts.fill(null)
  }

  /** Milliseconds from a mark to the first success of the slowest lane; the longest over all marks. */
  get recoveredMs(): number {
    if (this.#markedAt === 0) return 0
    const sinceMs = performance.now() - this.#markedAt
    return Math.max(this.#slowestMs, ...this.#firsts.map((first) => first?.ms ?? sinceMs))
  }

  /** Per lane the first success since the mark. */
  get firsts(): readonly (First | null)[] {
    return this.#firsts
  }

  /** Ends the writing; resolves once writes in flight are acknowledged. */
  async stop(): Promise<void> {
    this.#isStopped = true
    await Promise.all(this.#running)
  }

  async #lane(project: TrafficOptions['projects'][number], lane: number, index: number): Promise<void> {
    const { random, everyMs, ledger } = this.options
    const own: string[] = []
    for (let turn = 0; !this.#isStopped; turn += 1) {
      const op = `${project.id.slice(-6)}-${lane}-${turn}`
      try {
        await this.#write(project, own, op)
      } catch (error) {
        this.faults.push(String(error))
        return
      }
      ledger.acknowledged(project.id, op)
      this.#firsts[index] ??= { projectId: project.id, op, ms: performance.now() - this.#markedAt }
      await Bun.sleep(random.between(0, 2 * everyMs))
    }
  }

  async #write({ id: projectId, members }: { id: string; members: Person[] }, own: string[], op: string) {
    const { api, ledger, random, maxTasks = Infinity } = this.options
    const { token } = random.pick(members)
    const choice = own.length < maxTasks ? random.next() : 1
    if (own.length < 3 || choice < 0.4) {
      const body = { projectId, title: `Written as ${op}`, tags: ['chaos'] }
      const task = expectStatus(await api.call('POST', '/api/tasks', token, body, op), 201, 'create')
      ledger.created(task)
      own.push(task.id)
    } else if (choice < 0.85) {
      const id = random.pick(own)
      const body = { description: `Changed as ${op}: שלום 👋` }
      ledger.updated(
        expectStatus(await api.call('PATCH', `/api/tasks/${id}`, token, body, op), 200, 'change'),
      )
    } else {
      const [id] = own.splice(random.between(0, own.length - 1), 1)
      expectStatus(await api.call('DELETE', `/api/tasks/${id}`, token, undefined, op), 204, 'delete')
      ledger.deleted(id!)
    }
  }
}
