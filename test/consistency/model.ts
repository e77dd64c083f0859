// A correct product in a few lines, for hand-made histories: one project, one shard, every step at its own time. A test
// breaks one step of it.
import type {
  Call,
  FinalTask,
  FinalView,
  Frame,
  History,
  HistoryEvent,
  LogFact,
  SeenTask,
  Step,
} from './history.ts'

export const project = 'p'
export const scope = `project:${project}`
export const shard = 3

type Change = 'create' | 'update' | 'delete' | 'count'

interface WriteOptions {
  key?: string
  ifMatch?: number
  /** Does not advance the clock between start and end of other steps: for calls at the same time. */
  start?: number
}

export class Model {
  readonly events: HistoryEvent[] = []
  readonly log: LogFact[] = []
  readonly tasks = new Map<string, SeenTask>()
  readonly views: FinalView[] = []
  now = 0
  #keys = 0

  /** The next moment. */
  tick(): number {
    return (this.now += 1)
  }

  get seq(): number {
    return this.log.length
  }

  call(client: string, fields: Partial<Call>): Call {
    const start = fields.start ?? this.tick()
    const call: Call = {
      kind: 'call',
      client,
      method: 'GET',
      target: '/api/tasks',
      start,
      end: this.tick(),
      status: 200,
      key: null,
      attempts: 1,
      ifMatch: null,
      currentVersion: null,
      position: null,
      replayed: false,
      seen: [],
      reads: null,
      subject: null,
      isWhole: false,
      ...fields,
    }
    this.events.push(call)
    return call
  }

  #append(client: string | null, key: string | null, task: string, change: Change): LogFact {
    const held = this.tasks.get(task)
    const version = (held?.version ?? 0) + 1
    const content = change === 'delete' ? null : `${task} as ${version}`
    const type = change === 'create' ? 'task.created' : change === 'delete' ? 'task.deleted' : 'task.updated'
    if (content === null) this.tasks.delete(task)
    else this.tasks.set(task, { task, version, content })
    const fact: LogFact = {
      scope,
      position: { shard, seq: this.log.length + 1 },
      type,
      entity: task,
      version,
      actor: client,
      key,
      content,
      changed: change === 'update' ? ['title'] : change === 'count' ? ['commentCount'] : null,
      revokes: null,
      isLoud: true,
      isQuiet: false,
    }
    this.log.push(fact)
    return fact
  }

  /** One transaction. */
  write(client: string, changes: Record<string, Change>, options: WriteOptions = {}): Call {
    const start = options.start ?? this.tick()
    const key = options.key ?? `k${(this.#keys += 1)}`
    const made = Object.entries(changes).map(([task, change]) => this.#append(client, key, task, change))
    const names = Object.keys(changes)
    return this.call(client, {
      start,
      method: 'PATCH',
      target: `/api/tasks/${names[0]}`,
      subject: names[0]!,
      key,
      ifMatch: options.ifMatch ?? null,
      position: { shard, seq: this.seq },
      seen: made.flatMap(({ entity, version, content }) =>
        content === null ? [] : { task: entity!, version, content },
      ),
    })
  }

  /** A 412. */
  refused(client: string, task: string, ifMatch: number): Call {
    const key = `k${(this.#keys += 1)}`
    const currentVersion = this.tasks.get(task)!.version
    return this.call(client, {
      method: 'PATCH',
      target: `/api/tasks/${task}`,
      subject: task,
      status: 412,
      key,
      ifMatch,
      currentVersion,
    })
  }

  get(client: string, task: string): Call {
    const held = this.tasks.get(task)
    const seen = held ? [held] : []
    return this.call(client, {
      reads: 'task',
      target: `/api/tasks/${task}`,
      subject: task,
      status: held ? 200 : 404,
      seen,
    })
  }

  list(client: string): Call {
    return this.call(client, {
      reads: 'list',
      subject: project,
      isWhole: true,
      seen: [...this.tasks.values()],
    })
  }

  snapshot(client: string): Call {
    const seen = [...this.tasks.values()]
    const position = { shard, seq: this.seq }
    return this.call(client, { reads: 'snapshot', subject: project, isWhole: true, seen, position })
  }

  member(actor: string, user: string, isMember: boolean): Call {
    const key = `k${(this.#keys += 1)}`
    const start = this.tick()
    this.log.push({
      scope,
      position: { shard, seq: this.seq + 1 },
      type: isMember ? 'member.added' : 'member.removed',
      entity: user,
      version: this.seq + 1,
      actor,
      key,
      content: null,
      changed: null,
      revokes: isMember ? null : user,
      isLoud: true,
      isQuiet: false,
    })
    const position = { shard, seq: this.seq }
    return this.call(actor, { start, method: 'POST', target: '/api/projects/p/members', key, position })
  }

  step(client: string, view: string, what: Step['what'], seq: number): Step {
    const step: Step = {
      kind: 'step',
      client,
      view,
      at: this.tick(),
      scope,
      what,
      position: { shard, seq },
    }
    this.events.push(step)
    return step
  }

  /** The view receives the entry of a number. */
  frame(client: string, view: string, seq: number): Frame {
    const { type, entity, version, content } = this.log[seq - 1]!
    const frame: Frame = {
      kind: 'frame',
      client,
      view,
      at: this.tick(),
      scope,
      position: { shard, seq },
      type,
      entity,
      version,
      content,
    }
    this.events.push(frame)
    return frame
  }

  /** The view receives everything after a number, and ends as PostgreSQL. */
  follow(client: string, view: string, after: number): void {
    for (let seq = after + 1; seq <= this.seq; seq += 1) this.frame(client, view, seq)
    this.step(client, view, 'reached', this.seq)
    this.views.push({ client, view, project, tasks: [...this.tasks.values()] })
  }

  history(): History {
    const tasks: FinalTask[] = [...this.tasks.values()].map((seen) => ({ ...seen, project }))
    return { events: this.events, final: { log: this.log, tasks, views: this.views }, dropped: 0 }
  }
}
