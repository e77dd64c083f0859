// Writes that are seen at once and sent when they can be. Invariant: they are sent one after another in the order
// they were made, each under one Idempotency-Key for ever, so that a repeat (a lost answer, a second tab with the
// same storage) has no second effect. A write stays on the view until its echo is in the view, or it is refused.
//
//   storing ──▶ queued ──▶ sending ──2xx──▶ answered ──echo of its op, or its position passed──▶ settled
//                 ▲          │ └─ 412 ──▶ others changed other fields: on top of theirs │ else the rule decides ─▶ conflict
//                 └─ away ───┘ └─ 4xx ──▶ refused (rolled back, reported)
import { sendWrite, pick, type ConflictRule } from './send-write.ts'
import { ConflictError, OutboxError, SignedOutError } from '../errors.ts'
import type { Answer } from '../http/request.ts'
import { isRetryable, type HttpClient } from '../http/http-client.ts'
import type { Change, PendingWrite } from './overlay.ts'
import { callGuarded, Listeners } from '../async/listeners.ts'
import type { Session } from '../session.ts'
import { createEntry, isPast, isReached, type OutboxEntry, type Write } from './outbox-entry.ts'
import type { Timing } from '../timing.ts'
import type { Task } from '../../../../src/model/task.ts'
import { fullJitterMs, InterruptibleSleep } from '../async/wait.ts'

export interface OutboxStorage {
  load(): Promise<PendingWrite[]>
  put(write: PendingWrite): Promise<void>
  remove(op: string): Promise<void>
}

export interface OutboxOptions {
  storage: OutboxStorage
  /** Asked when others changed the same fields, also long after the write was made. Default: `theirs`. */
  onConflict?: ConflictRule | undefined
  /**
   * A write that will not happen; the view shows it no longer. Called once, and not for a conflict that `onConflict`
   * answered with `theirs`. The write's own `settled` rejects in either case.
   */
  onRefused?: ((write: PendingWrite, error: Error) => void) | undefined
}

const maxWrites = 1_000

export class Outbox implements Disposable {
  #entries: OutboxEntry[] = []
  #order = 0
  #failures = 0
  #running: Promise<void> | null = null
  #loading: Promise<void> | null = null
  readonly #retryDelay = new InterruptibleSleep()
  readonly #closing = new AbortController()
  readonly #listeners = new Listeners()
  /** Projects that views show, and how far those are: without one there is nothing to wait for after the answer. */
  readonly #openViews = new Map<string, { views: number; cursor: string | null }>()

  constructor(
    private readonly http: HttpClient,
    private readonly session: Pick<Session, 'token' | 'userId'>,
    private readonly timing: Timing,
    private readonly options: OutboxOptions,
  ) {}

  /** Unsettled writes of who is signed in, oldest first. */
  get pending(): readonly PendingWrite[] {
    return this.#entries.filter((entry) => this.#isOwn(entry)).map(({ write }) => write)
  }

  onChange(listener: () => void): () => void {
    return this.#listeners.add(listener)
  }

  /** Takes a write. It is stored before it is sent; OutboxError rejects it where that fails or there are too many. */
  add(given: { op: string; projectId: string; taskId: string; change: Change; base: Task | null }): Write {
    const { base, ...facts } = given
    const write: PendingWrite = {
      ...facts,
      by: this.session.userId,
      order: (this.#order = Math.max(this.#order + 1, Date.now())),
      baseVersion: facts.change.kind === 'move' || !base ? null : this.#knownVersion(base),
      before: facts.change.kind === 'update' && base ? pick(base, facts.change.changes) : {},
      at: new Date().toISOString(),
    }
    const entry = createEntry(write, 'storing')
    if (this.#closing.signal.aborted) entry.result.reject(new OutboxError('the client was closed'))
    else if (this.#entries.length >= maxWrites)
      entry.result.reject(new OutboxError(`more than ${maxWrites} writes wait to be sent`))
    else {
      this.#entries.push(entry)
      this.#emitChange()
      void this.#store(entry)
    }
    return { op: write.op, taskId: write.taskId, settled: entry.result.promise }
  }

  /** The version it has at least: an answer may be ahead of its echo. */
  #knownVersion({ id, version }: Task): number {
    const answers = this.#entries.map(({ value }) => (value?.id === id ? value.version : 0))
    return Math.max(version, ...answers)
  }

  /** Sends what was stored by an earlier run of the program, then everything else. Also called to try again. */
  async wake(): Promise<void> {
    await this.#ensureLoaded()
    this.#failures = 0
    this.#retryDelay.wake()
    this.#start()
  }

  /** A view of the project received the event of a write. */
  onEcho(op: string, taskId: string, value: Task | null): void {
    const entry = this.#entries.find(({ write }) => write.op === op && write.taskId === taskId)
    if (!entry) return
    if (value === null && entry.write.change.kind === 'move' && entry.state !== 'answered') {
      entry.isEchoed = true
      return
    }
    void this.#removeFromStorage(entry)
    this.#rebase(entry.write, value)
    this.#settle(entry, value ?? entry.value)
  }

  /** A view of the project has applied everything up to `cursor`. */
  onConfirmed(projectId: string, cursor: string): void {
    const shown = this.#openViews.get(projectId)
    if (shown) shown.cursor = cursor
    for (const entry of this.#entries)
      if (entry.state === 'answered' && entry.write.projectId === projectId && isPast(entry.cursor, cursor))
        this.#settle(entry, entry.value)
  }

  /** A view of the project opened; returns what to call when it closes. */
  viewOpened(projectId: string): () => void {
    const shown = this.#openViews.get(projectId) ?? { views: 0, cursor: null }
    this.#openViews.set(projectId, shown)
    shown.views += 1
    return () => {
      shown.views -= 1
      if (shown.views > 0) return
      this.#openViews.delete(projectId)
      for (const entry of this.#entries)
        if (entry.state === 'answered' && entry.write.projectId === projectId)
          this.#settle(entry, entry.value)
    }
  }

  /** The right to a project is gone: so is what waits to be written there. */
  purge(projectId: string, error: Error): void {
    for (const entry of this.#entries) {
      if (entry.write.projectId !== projectId || entry.state === 'answered') continue
      void this.#removeFromStorage(entry)
      this.#reject(entry, error)
    }
  }

  [Symbol.dispose](): void {
    this.#closing.abort()
    const closed = new OutboxError('the client was closed; what is stored is sent by the next one')
    for (const { result } of this.#entries) result.reject(closed)
    this.#entries = []
  }

  /** What is stored; read once, again should that fail. */
  #ensureLoaded(): Promise<void> {
    return (this.#loading ??= this.#load().catch((error: unknown) => {
      this.#loading = null
      throw error
    }))
  }

  async #load(): Promise<void> {
    const stored = (await this.options.storage.load()).sort((a, b) => a.order - b.order)
    const known = new Set(this.#entries.map(({ write }) => write.op))
    if (this.#closing.signal.aborted) return
    const older = stored.filter(({ op }) => !known.has(op)).map((write) => createEntry(write, 'queued'))
    this.#entries.unshift(...older)
    this.#order = Math.max(this.#order, ...stored.map(({ order }) => order))
    this.#emitChange()
  }

  async #store(entry: OutboxEntry): Promise<void> {
    try {
      await this.#ensureLoaded()
      await this.options.storage.put(entry.write)
      if (entry.state === 'storing') entry.state = 'queued'
      this.#start()
    } catch (cause) {
      this.#reject(entry, new OutboxError('the write could not be stored, and was not sent', { cause }))
      this.#start()
    }
  }

  #start(): void {
    if (this.#running || this.#closing.signal.aborted || !this.#next()) return
    this.#running = this.#sendAll().finally(() => {
      this.#running = null
      this.#start()
    })
  }

  /** Writes go in their order: none before those ahead of it are stored and sent. */
  #next(): OutboxEntry | undefined {
    const next = this.#entries.find((entry) => entry.state !== 'answered' && this.#isOwn(entry))
    return next?.state === 'queued' ? next : undefined
  }

  /** Whether the signed-in user made the write. Writes of other users wait for them. */
  #isOwn({ write: { by } }: OutboxEntry): boolean {
    const { userId } = this.session
    return userId === null || by === null || by === userId
  }

  async #sendAll(): Promise<void> {
    const { signal } = this.#closing
    while (!signal.aborted && this.#next()) {
      let entry: OutboxEntry | undefined
      try {
        await this.session.token(signal) // from here on it is known who is signed in
        entry = this.#next()
        if (!entry) return
        entry.state = 'sending'
        await this.#onAnswer(entry, await this.#deliver(entry.write))
        this.#failures = 0
      } catch (error) {
        if (signal.aborted) return
        if (!entry || isRetryable(error) || error instanceof SignedOutError) await this.#waitForRetry(entry)
        else await this.#discard(entry, error instanceof Error ? error : new Error(String(error)))
      }
    }
  }

  #deliver(write: PendingWrite): Promise<Answer<Task | null>> {
    return sendWrite(write, {
      http: this.http,
      rule: this.options.onConflict,
      signal: this.#closing.signal,
      writeChanged: async () => {
        this.#emitChange()
        await this.options.storage.put(write)
      },
    })
  }

  async #waitForRetry(entry: OutboxEntry | undefined): Promise<void> {
    if (entry) entry.state = 'queued'
    this.#failures += 1
    const { backOffBaseMs, backOffMaxMs } = this.timing
    await this.#retryDelay
      .sleep(fullJitterMs(this.#failures, backOffBaseMs, backOffMaxMs), this.#closing.signal)
      .catch(() => {})
  }

  async #onAnswer(entry: OutboxEntry, { value, cursor }: Answer<Task | null>): Promise<void> {
    await this.#removeFromStorage(entry)
    this.#rebase(entry.write, value)
    if (!this.#entries.includes(entry)) return // its echo was faster
    entry.state = 'answered'
    entry.value = value
    entry.cursor = cursor
    const shown = this.#openViews.get(entry.write.projectId)
    // What changed nothing has no echo, without an open view nothing flickers, and a snapshot may have had it already.
    const isVisible =
      entry.isEchoed ||
      !shown ||
      cursor === null ||
      (shown.cursor !== null && isReached(cursor, shown.cursor))
    if (isVisible) this.#settle(entry, value)
  }

  /** Later writes were made on top of this one: what it made of the task is no surprise to them. */
  #rebase(sent: PendingWrite, value: Task | null): void {
    if (!value || sent.change.kind === 'move') return
    for (const { write } of this.#entries)
      if (write.taskId === sent.taskId && write.order > sent.order && write.baseVersion !== null)
        write.baseVersion = Math.max(write.baseVersion, value.version)
  }

  async #discard(entry: OutboxEntry, error: Error): Promise<void> {
    await this.#removeFromStorage(entry)
    this.#reject(entry, error)
  }

  /** Its effect is certain: should this fail, the key makes sending it again harmless. */
  async #removeFromStorage({ write }: OutboxEntry): Promise<void> {
    await this.options.storage.remove(write.op).catch(() => {})
  }

  #settle(entry: OutboxEntry, value: Task | null): void {
    this.#remove(entry)
    entry.result.resolve(value)
  }

  #remove(entry: OutboxEntry): void {
    this.#entries = this.#entries.filter((one) => one !== entry)
    this.#emitChange()
  }

  /** Once: it may have been purged while it was on the way. */
  #reject(entry: OutboxEntry, error: Error): void {
    if (!this.#entries.includes(entry)) return
    this.#remove(entry)
    entry.result.reject(error)
    // The program has decided this conflict in `onConflict`: a second notification would repeat it.
    if (error instanceof ConflictError && error.isDecided) return
    callGuarded(() => this.options.onRefused?.(entry.write, error))
  }

  #emitChange(): void {
    this.#listeners.emit()
  }
}
