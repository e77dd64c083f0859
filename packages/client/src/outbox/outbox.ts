// Writes that are shown at once and sent when the server can be reached. Invariant: they are sent one after another in the order
// they were made, each always under the same Idempotency-Key, so that a repeat (a lost answer, a second tab with the
// same storage) has no second effect. A view shows a write until it has the echo, or the write is refused.
//
//   storing ──▶ queued ──▶ sending ──2xx──▶ answered ──echo of its op, or its position passed──▶ settled
//                 ▲          │ └─ 412 ──▶ others changed other fields: rebased, else `onConflict` decides ──▶ conflict
//                 └ offline ─┘ └─ 4xx ──▶ refused (no longer shown, reported)
import type { Task } from '../../../../src/model/task.ts'
import { callGuarded, Listeners } from '../async/listeners.ts'
import { ConflictError, OutboxError } from '../errors.ts'
import type { HttpClient } from '../http/http-client.ts'
import type { Answer } from '../http/request.ts'
import type { Session } from '../session.ts'
import type { Timing } from '../timing.ts'
import { createEntry, isPast, type OutboxEntry, type Write } from './outbox-entry.ts'
import type { Change, PendingWrite } from './overlay.ts'
import { pick, sendWrite, type ConflictRule } from './send-write.ts'
import { ShownProjects } from './shown-projects.ts'
import { WriteQueue } from './write-queue.ts'
import { WriteSender } from './write-sender.ts'

export interface OutboxStorage {
  load(): Promise<PendingWrite[]>
  put(write: PendingWrite): Promise<void>
  remove(op: string): Promise<void>
}

export interface OutboxOptions {
  storage: OutboxStorage
  /** Called when others changed the same fields, also long after the write was made. Default: `theirs`. */
  onConflict?: ConflictRule | undefined
  /**
   * Called with a write that was refused, and that the view no longer shows: once, and not for a conflict that `onConflict`
   * answered with `theirs`. The write's own `settled` rejects in either case.
   */
  onRefused?: ((write: PendingWrite, error: Error) => void) | undefined
}

interface OwnerShown {
  /** Whose stored state is shown while it is not known yet who is signed in: its writes are theirs. */
  shownOwner: () => string | null
}

const maxWrites = 1_000

export class Outbox implements Disposable {
  readonly #closing = new AbortController()
  readonly #listeners = new Listeners()
  readonly #shown = new ShownProjects()
  readonly #queue: WriteQueue
  readonly #sender: WriteSender

  constructor(
    http: HttpClient,
    private readonly session: Pick<Session, 'token' | 'userId' | 'generation' | 'requireGeneration'>,
    timing: Timing,
    private readonly options: OutboxOptions & OwnerShown,
  ) {
    const { signal } = this.#closing
    this.#queue = new WriteQueue(options.storage, signal, () => this.#listeners.emit())
    const writeChanged = (write: PendingWrite): Promise<void> => this.#queue.update(write)
    this.#sender = new WriteSender({
      next: () => this.#next(),
      deliver: (write) => {
        const { generation } = session
        return sendWrite(write, {
          http,
          rule: options.onConflict,
          signal,
          requireSameUser: () => session.requireGeneration(generation),
          writeChanged: () => writeChanged(write),
        })
      },
      accepted: (entry, answer) => this.#accepted(entry, answer),
      refused: (entry, error) => this.#discard(entry, error),
      session,
      timing,
      signal,
    })
  }

  /** Unsettled writes of the signed-in user, oldest first. */
  get pending(): readonly PendingWrite[] {
    return this.#queue
      .entries()
      .filter((entry) => this.#isOwn(entry))
      .map(({ write }) => write)
  }

  onChange(listener: () => void): () => void {
    return this.#listeners.add(listener)
  }

  /** Takes a write. It is stored before it is sent; OutboxError rejects it where that fails or there are too many. */
  add(given: { op: string; projectId: string; taskId: string; change: Change; base: Task | null }): Write {
    const { base, ...facts } = given
    const write: PendingWrite = {
      ...facts,
      by: this.session.userId ?? this.options.shownOwner(),
      order: this.#queue.nextOrder(),
      baseVersion: facts.change.kind === 'move' || !base ? null : this.#knownVersion(base),
      before: facts.change.kind === 'update' && base ? pick(base, facts.change.changes) : {},
      at: new Date().toISOString(),
    }
    const entry = createEntry(write, 'storing')
    if (this.#closing.signal.aborted) entry.result.reject(new OutboxError('the client was closed'))
    else if (this.#queue.size >= maxWrites)
      entry.result.reject(new OutboxError(`more than ${maxWrites} writes wait to be sent`))
    else {
      this.#queue.add(entry)
      void this.#store(entry)
    }
    return { op: write.op, taskId: write.taskId, settled: entry.result.promise }
  }

  /** Sends what was stored by an earlier run of the program, then everything else. Also called to try again. */
  async wake(): Promise<void> {
    await this.#queue.ensureLoaded()
    this.#sender.wake()
  }

  /** A view of the project received the event of a write. */
  onEcho(op: string, taskId: string, value: Task | null): void {
    const entry = this.#queue.entries().find(({ write }) => write.op === op && write.taskId === taskId)
    if (!entry) return
    if (value === null && entry.write.change.kind === 'move' && entry.state !== 'answered') {
      entry.isEchoed = true
      return
    }
    void this.#queue.removeFromStorage(entry)
    this.#rebase(entry.write, value)
    this.#queue.settle(entry, value ?? entry.value)
  }

  /** A view of the project has applied everything up to `cursor`. */
  onConfirmed(projectId: string, cursor: string): void {
    this.#shown.confirmed(projectId, cursor)
    this.#settleAnswered(projectId, (entry) => isPast(entry.cursor, cursor))
  }

  /** A view of the project opened; returns what to call when it closes. */
  viewOpened(projectId: string): () => void {
    this.#shown.viewOpened(projectId)
    return () => {
      if (this.#shown.viewClosed(projectId)) this.#settleAnswered(projectId, () => true)
    }
  }

  /** The user's right to write in a project ended: their writes that were not sent are rejected with the error. */
  purge(projectId: string, error: Error): void {
    for (const entry of this.#queue.entries())
      if (entry.write.projectId === projectId && entry.state !== 'answered' && this.#isOwn(entry)) {
        void this.#queue.removeFromStorage(entry)
        this.#reject(entry, error)
      }
  }

  [Symbol.dispose](): void {
    this.#closing.abort()
    this.#queue.close(new OutboxError('the client was closed; what is stored is sent by the next one'))
  }

  /** The version the task has at least: an answer may have arrived before its echo. */
  #knownVersion({ id, version }: Task): number {
    const answers = this.#queue.entries().map(({ value }) => (value?.id === id ? value.version : 0))
    return Math.max(version, ...answers)
  }

  async #store(entry: OutboxEntry): Promise<void> {
    try {
      await this.#queue.store(entry)
      if (entry.state === 'storing') entry.state = 'queued'
    } catch (cause) {
      this.#reject(entry, new OutboxError('the write could not be stored, and was not sent', { cause }))
    }
    this.#sender.start()
  }

  /** Writes are sent in their order: none before those ahead of it are stored and sent. */
  #next(): OutboxEntry | undefined {
    const next = this.#queue.entries().find((entry) => entry.state !== 'answered' && this.#isOwn(entry))
    return next?.state === 'queued' ? next : undefined
  }

  /** Whether the signed-in user made the write. Writes of other users wait for them. */
  #isOwn({ write: { by } }: OutboxEntry): boolean {
    const { userId } = this.session
    return userId === null || by === null || by === userId
  }

  async #accepted(entry: OutboxEntry, { value, cursor }: Answer<Task | null>): Promise<void> {
    await this.#queue.removeFromStorage(entry)
    this.#rebase(entry.write, value)
    if (!this.#queue.includes(entry)) return // its echo arrived before the answer
    entry.state = 'answered'
    entry.value = value
    entry.cursor = cursor
    if (this.#shown.isVisible(entry, cursor)) this.#queue.settle(entry, value)
  }

  /** Later writes of the task were made on top of this one: the version it produced is no conflict for them. */
  #rebase(sent: PendingWrite, value: Task | null): void {
    if (!value || sent.change.kind === 'move') return
    for (const { write } of this.#queue.entries())
      if (write.taskId === sent.taskId && write.order > sent.order && write.baseVersion !== null)
        write.baseVersion = Math.max(write.baseVersion, value.version)
  }

  #settleAnswered(projectId: string, isSettled: (entry: OutboxEntry) => boolean): void {
    for (const entry of this.#queue.entries())
      if (entry.state === 'answered' && entry.write.projectId === projectId && isSettled(entry))
        this.#queue.settle(entry, entry.value)
  }

  async #discard(entry: OutboxEntry, error: Error): Promise<void> {
    await this.#queue.removeFromStorage(entry)
    this.#reject(entry, error)
  }

  #reject(entry: OutboxEntry, error: Error): void {
    if (!this.#queue.reject(entry, error)) return
    // The program has decided this conflict in `onConflict`: a second notification would repeat it.
    if (error instanceof ConflictError && error.isDecided) return
    callGuarded(() => this.options.onRefused?.(entry.write, error))
  }
}
