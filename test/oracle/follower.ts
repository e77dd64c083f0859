// A client that follows one project and its user's scope over a socket, drops the connection at random, resumes with its
// cursors, and keeps the state it would show. It records faults: numbers that do not ascend, skipped versions, events of
// other scopes. It leaves a server that sends no frames.
import type { Api, Person, Servers } from './api.ts'
import { expectStatus } from './api.ts'
import { Connection } from './connection.ts'
import type { Random } from './random.ts'
import type { FinalView, Step } from '../consistency/history.ts'
import { canonical } from '../consistency/history.ts'
import type { Recorder } from '../consistency/recorder.ts'

export interface FollowerCounts {
  events: number
  drops: number
  resumes: number
  resyncs: number
  refused: number
}

export interface FollowerFault {
  kind: 'lost' | 'repeated' | 'reordered' | 'leaked' | 'refused'
  text: string
}

export interface FollowerOptions {
  person: Person
  projectId: string
  servers: Servers
  api: Api
  random: Random
  /** Milliseconds between two drops of the connection; null for none. */
  drops: { min: number; max: number } | null
  /** Milliseconds from append to receipt, of live events. */
  onLatency?(ms: number): void
  recorder?: Recorder
}

interface KnownTask {
  version: number
  /** The number of its entry, or of its snapshot. */
  seq: number
  task: any
}

let followers = 0

export class Follower {
  readonly person: Person
  readonly projectId: string
  readonly tasks = new Map<string, KnownTask>()
  /** Kinds of received notifications by id. */
  readonly notifications = new Map<string, string>()
  readonly faults: FollowerFault[] = []
  /** Keys of the project's writes that were received, and when (`performance.now()`). */
  readonly ops = new Map<string, number>()
  readonly counts: FollowerCounts = { events: 0, drops: 0, resumes: 0, resyncs: 0, refused: 0 }
  readonly projectScope: string
  readonly userScope: string
  readonly #cursors = new Map<string, string>()
  readonly #synced = new Set<string>()
  /** Cursors of received events. */
  readonly #seen = new Set<string>()
  readonly #connection: Connection
  readonly #name = `view-${(followers += 1)}`

  constructor(private readonly options: FollowerOptions) {
    this.person = options.person
    this.projectId = options.projectId
    this.projectScope = `project:${options.projectId}`
    this.userScope = `user:${options.person.id}`
    this.#connection = new Connection({
      ...options,
      backOff: { first: 50, most: 1_000 },
      onFrame: (frame, socket) => this.#frame(frame, socket),
      onReset: () => this.#synced.clear(),
      onDrop: () => (this.counts.drops += 1),
      onClose: ({ code, reason }) => {
        if (code >= 4400 && code !== 4429) this.#fault('refused', `${code} ${reason}`)
        this.counts.refused += code === 1006 ? 1 : 0
      },
    })
  }

  async start(): Promise<void> {
    await this.#readSnapshot()
    await this.#readOwnSnapshot()
    this.#connection.start()
  }

  stop(): void {
    this.#connection.stop()
  }

  /** Stops dropping connections: from now on it only follows. */
  settle(): void {
    this.#connection.settle()
  }

  cursor(scope: string): string {
    return this.#cursors.get(scope) ?? ''
  }

  /** What it shows of its project, for a history. */
  get finalView(): FinalView {
    const tasks = [...this.tasks].flatMap(([task, known]) =>
      known.task ? { task, version: known.version, content: canonical(known.task) } : [],
    )
    return { client: this.person.id, view: this.#name, project: this.projectId, tasks }
  }

  get isSynced(): boolean {
    return this.#synced.size === 2
  }

  #fault(kind: FollowerFault['kind'], text: string): void {
    this.faults.push({ kind, text })
  }

  #record(scope: string, what: Step['what'], cursor: string | null): void {
    this.options.recorder?.step(this.person.id, this.#name, scope, what, cursor)
  }

  #subscribe(scope: string, socket: WebSocket): void {
    this.#record(scope, 'join', this.cursor(scope))
    socket.send(JSON.stringify({ t: 'sub', rid: scope.length, scope, cursor: this.#cursors.get(scope) }))
  }

  #frame(frame: any, socket: WebSocket): void {
    switch (frame.t) {
      case 'welcome':
        this.#subscribe(this.projectScope, socket)
        this.#subscribe(this.userScope, socket)
        break
      case 'sub':
        this.counts.resumes += 1
        break
      case 'synced':
        this.#synced.add(frame.scope)
        this.#reached(frame)
        break
      case 'position':
        this.#reached(frame)
        break
      case 'event':
        this.#event(frame)
        break
      case 'resync':
        this.counts.resyncs += 1
        this.#synced.delete(frame.scope)
        this.#record(frame.scope, 'lost', null)
        void this.#resync(frame.scope, socket).catch((error: unknown) =>
          this.#fault('refused', `no snapshot: ${String(error)}`),
        )
        break
      case 'error':
        if (frame.code !== 'rate') this.#fault('refused', `error ${frame.code} for ${frame.rid}`)
        this.#connection.leave(socket)
        break
      case 'access':
        this.#record(frame.scope, 'revoked', frame.cursor)
        this.#fault('refused', `access ${frame.op} for ${frame.scope}`)
        break
      case 'bye':
        this.#connection.pauseNext(
          this.options.random.between(frame.reconnectAfter[0], frame.reconnectAfter[1]),
        )
        break
    }
  }

  async #resync(scope: string, socket: WebSocket): Promise<void> {
    // One that arrives after the connection was replaced is dropped: the view may be past it on the next connection.
    const isCurrent = (): boolean => this.#connection.isCurrent(socket)
    await (scope === this.projectScope ? this.#readSnapshot(isCurrent) : this.#readOwnSnapshot(isCurrent))
    if (this.#connection.isOpen(socket)) this.#subscribe(scope, socket)
  }

  #reached({ scope, cursor }: { scope: string; cursor: string }): void {
    this.#record(scope, 'reached', cursor)
    this.#cursors.set(scope, cursor)
  }

  #event(event: any): void {
    this.counts.events += 1
    this.options.recorder?.frame(this.person.id, this.#name, event)
    const before = this.#cursors.get(event.scope)
    if (before === undefined) return this.#fault('leaked', `${event.type} of ${event.scope}`)
    if (this.#synced.has(event.scope)) this.options.onLatency?.(Date.now() - Date.parse(event.at))
    if (numberOf(event.cursor) <= numberOf(before)) {
      const kind = this.#seen.has(event.cursor) ? 'repeated' : 'reordered'
      this.#fault(kind, `${event.cursor} came after ${before}`)
    }
    this.#seen.add(event.cursor)
    this.#cursors.set(event.scope, event.cursor)
    if (event.type === 'notification.created') return this.#notified(event.data)
    if (!event.type.startsWith('task.')) return
    if (event.op) this.ops.set(event.op, performance.now())
    const held = this.tasks.get(event.id)
    if (held && event.version <= held.version) return
    if (event.version !== (held?.version ?? 0) + 1) {
      const jump = `jumped from version ${held?.version ?? 0} to ${event.version}`
      this.#fault('lost', `${event.type} ${event.id} ${jump}`)
    }
    this.tasks.set(event.id, {
      version: event.version,
      seq: numberOf(event.cursor),
      task: event.type === 'task.deleted' ? null : event.data,
    })
  }

  #notified(notification: any): void {
    if (this.notifications.has(notification.id))
      this.#fault('repeated', `notification ${notification.id} came twice`)
    this.notifications.set(notification.id, notification.kind)
  }

  async #readSnapshot(isCurrent = (): boolean => true): Promise<void> {
    let after = ''
    let seq = 0
    const listed = new Set<string>()
    for (;;) {
      const path = `/api/projects/${this.projectId}/snapshot?limit=5000${after && `&after=${encodeURIComponent(after)}`}`
      const { api } = this.options
      const page = expectStatus(await api.call('GET', path, this.person.token), 200, 'project snapshot')
      if (!isCurrent()) return
      seq = numberOf(page.cursor)
      for (const task of page.tasks) {
        listed.add(task.id)
        const held = this.tasks.get(task.id)
        if (!held || held.version < task.version)
          this.tasks.set(task.id, { version: task.version, seq, task })
      }
      this.#cursors.set(this.projectScope, page.cursor)
      if (!page.nextAfter) break
      after = page.nextAfter
    }
    this.#record(this.projectScope, 'snapshot', this.cursor(this.projectScope))
    // A task received before the snapshot and not listed in it is deleted: the deletion precedes the cursor (C-VER-5).
    for (const [id, held] of this.tasks) {
      if (held.task && held.seq <= seq && !listed.has(id))
        this.tasks.set(id, { version: held.version + 1, seq, task: null })
    }
  }

  async #readOwnSnapshot(isCurrent = (): boolean => true): Promise<void> {
    const { api } = this.options
    const answer = await api.call('GET', '/api/users/me/snapshot', this.person.token)
    const snapshot = expectStatus(answer, 200, 'own snapshot')
    if (!isCurrent()) return
    for (const notification of snapshot.notifications)
      this.notifications.set(notification.id, notification.kind)
    this.#cursors.set(this.userScope, snapshot.cursor)
    this.#record(this.userScope, 'snapshot', snapshot.cursor)
  }
}

/** The number in a cursor. Cursors are opaque to real clients; this one checks them. */
export const numberOf = (cursor: string): number => Number(cursor.split('.')[2])
