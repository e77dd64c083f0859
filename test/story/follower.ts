// A client that follows one project and its own scope over a socket, drops the connection at random, resumes with
// its cursors, and keeps the state it would show. It trusts nothing: numbers must rise, versions must not jump.
import type { Cluster } from '../support/cluster.ts'
import type { Api, Person } from './api.ts'
import { expectStatus } from './api.ts'
import type { Random } from './random.ts'

export interface FollowerCounts {
  events: number
  drops: number
  resumes: number
  resyncs: number
  refused: number
}

interface Held {
  version: number
  task: any
}

export class Follower {
  readonly tasks = new Map<string, Held>()
  /** Notification ids by their kind and task, as they came. */
  readonly notifications = new Map<string, string>()
  readonly faults: string[] = []
  readonly counts: FollowerCounts = { events: 0, drops: 0, resumes: 0, resyncs: 0, refused: 0 }
  readonly projectScope: string
  readonly userScope: string
  readonly #cursors = new Map<string, string>()
  readonly #synced = new Set<string>()
  #socket: WebSocket | null = null
  #stopped = false
  #failures = 0
  #isSettled = false
  #timer: Timer | undefined

  constructor(
    readonly person: Person,
    readonly projectId: string,
    private readonly cluster: Cluster,
    private readonly api: Api,
    private readonly random: Random,
    private readonly onLatency: (ms: number) => void,
  ) {
    this.projectScope = `project:${projectId}`
    this.userScope = `user:${person.id}`
  }

  async start(): Promise<void> {
    await this.#readSnapshot()
    await this.#readOwnSnapshot()
    this.#connect()
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
    this.#socket?.close()
  }

  /** Stops dropping connections: from now on it only follows. */
  settle(): void {
    this.#isSettled = true
    clearTimeout(this.#timer)
  }

  cursor(scope: string): string {
    return this.#cursors.get(scope) ?? ''
  }

  get isSynced(): boolean {
    return this.#synced.size === 2
  }

  #connect(): void {
    if (this.#stopped) return
    const server = this.random.pick(this.cluster.servers)
    const socket = new WebSocket(`${server.url.replace('http', 'ws')}/api/ws`, [
      'tasktide.v1',
      `jwt.${this.person.token}`,
    ])
    this.#socket = socket
    this.#synced.clear()
    socket.onmessage = (event) => this.#frame(JSON.parse(String(event.data)), socket)
    socket.onerror = () => {}
    socket.onclose = (event) => {
      if (this.#socket !== socket || this.#stopped) return
      if (event.code >= 4400 && event.code !== 4429)
        this.faults.push(`closed with ${event.code} ${event.reason}`)
      this.#failures += 1
      this.counts.refused += event.code === 1006 ? 1 : 0
      setTimeout(() => this.#connect(), Math.min(50 * 2 ** this.#failures, 1_000) * this.random.next())
    }
    if (this.#isSettled) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(
      () => {
        this.counts.drops += 1
        // Bun's own: no close frame, as when a network goes away.
        ;(socket as unknown as { terminate(): void }).terminate()
      },
      this.random.between(500, 4_000),
    )
  }

  #frame(frame: any, socket: WebSocket): void {
    if (socket !== this.#socket) return
    switch (frame.t) {
      case 'welcome':
        this.#failures = 0
        for (const scope of [this.projectScope, this.userScope]) {
          socket.send(
            JSON.stringify({ t: 'sub', rid: scope.length, scope, cursor: this.#cursors.get(scope) }),
          )
        }
        break
      case 'sub':
        this.counts.resumes += 1
        break
      case 'synced':
        this.#synced.add(frame.scope)
        this.#cursors.set(frame.scope, frame.cursor)
        break
      case 'position':
        this.#cursors.set(frame.scope, frame.cursor)
        break
      case 'event':
        this.#event(frame)
        break
      case 'resync':
        this.counts.resyncs += 1
        void this.#resync(frame.scope, socket)
        break
      case 'error':
        if (frame.code === 'unavailable') socket.close()
        else this.faults.push(`error ${frame.code} for ${frame.rid}`)
        break
      case 'access':
        this.faults.push(`access ${frame.op} for ${frame.scope}`)
        break
    }
  }

  async #resync(scope: string, socket: WebSocket): Promise<void> {
    await (scope === this.projectScope ? this.#readSnapshot() : this.#readOwnSnapshot())
    if (socket.readyState === WebSocket.OPEN)
      socket.send(JSON.stringify({ t: 'sub', rid: scope.length, scope, cursor: this.#cursors.get(scope) }))
  }

  #event(event: any): void {
    this.counts.events += 1
    if (this.#synced.has(event.scope)) this.onLatency(Date.now() - Date.parse(event.at))
    const before = this.#cursors.get(event.scope)!
    if (numberOf(event.cursor) <= numberOf(before)) this.faults.push(`${event.cursor} came after ${before}`)
    this.#cursors.set(event.scope, event.cursor)
    if (event.type === 'notification.created') return this.#notified(event.data)
    if (!event.type.startsWith('task.')) return
    const held = this.tasks.get(event.id)
    if (held && event.version <= held.version) return
    if (event.version !== (held?.version ?? 0) + 1) {
      this.faults.push(
        `${event.type} ${event.id} jumped from version ${held?.version ?? 0} to ${event.version}`,
      )
    }
    this.tasks.set(event.id, {
      version: event.version,
      task: event.type === 'task.deleted' ? null : event.data,
    })
  }

  #notified(notification: any): void {
    if (this.notifications.has(notification.id))
      this.faults.push(`notification ${notification.id} came twice`)
    this.notifications.set(notification.id, notification.kind)
  }

  async #readSnapshot(): Promise<void> {
    let after = ''
    for (;;) {
      const path = `/api/projects/${this.projectId}/snapshot?limit=5000${after && `&after=${encodeURIComponent(after)}`}`
      const page = expectStatus(await this.api.call('GET', path, this.person.token), 200, 'project snapshot')
      for (const task of page.tasks) {
        const held = this.tasks.get(task.id)
        if (!held || held.version < task.version) this.tasks.set(task.id, { version: task.version, task })
      }
      this.#cursors.set(this.projectScope, page.cursor)
      if (!page.nextAfter) return
      after = page.nextAfter
    }
  }

  async #readOwnSnapshot(): Promise<void> {
    const snapshot = expectStatus(
      await this.api.call('GET', '/api/users/me/snapshot', this.person.token),
      200,
      'own snapshot',
    )
    for (const notification of snapshot.notifications)
      this.notifications.set(notification.id, notification.kind)
    this.#cursors.set(this.userScope, snapshot.cursor)
  }
}

/** The number in a cursor. Opaque to a real client; this one is here to check it. */
export const numberOf = (cursor: string): number => Number(cursor.split('.')[2])
