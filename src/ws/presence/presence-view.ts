// The users present at one place, as this process knows them: its own and those of other processes' reports. The clock
// comes from the caller. Bounded: above `maxListed` users there is only a count.
//
// A reload of a page must not flicker, so a user who leaves counts as present for the leave delay. Watchers that start
// between two diffs receive the full state at once; the next diff is reduced for them to what is new (`diffSince`).
import type { PresenceKey } from '../../model/scope.ts'
import type { SocketTimings, PresenceFrame } from '../protocol.ts'

/** Above this many users at a place, only their count is sent. */
export const maxListed = 200

/** The users of one process at one place; `users` is null where there are too many to list. */
export interface PresenceReport {
  users: string[] | null
  count: number
}

interface RemoteUsers {
  users: ReadonlySet<string>
  /** Users counted and not listed. */
  unlisted: number
  expiresAt: number
}

export class PresenceView {
  /** Users of this process, with the number of their connections. */
  readonly #local = new Map<string, number>()
  readonly #remote = new Map<string, RemoteUsers>()
  /** Users in the last state that all watchers were sent. */
  readonly #shown = new Set<string>()
  /** Users that only watchers of full frames since then were sent: they, too, leave after the delay. */
  readonly #shownEarly = new Set<string>()
  /** Shown users that left, and when; not sent yet, because they may come back within the delay. */
  readonly #gone = new Map<string, number>()
  /** The last count sent; null while users are listed. */
  #shownCount: number | null = null
  #hasChanged = false

  constructor(
    readonly key: PresenceKey,
    private readonly timings: Pick<SocketTimings, 'presenceLeaveDelayMs' | 'presenceTtlMs'>,
  ) {}

  enter(userId: string): void {
    this.#hasChanged = true
    this.#local.set(userId, (this.#local.get(userId) ?? 0) + 1)
    this.#gone.delete(userId)
  }

  leave(userId: string, now: number): void {
    this.#hasChanged = true
    const left = (this.#local.get(userId) ?? 0) - 1
    if (left > 0) this.#local.set(userId, left)
    else if (this.#local.delete(userId)) this.#noteLeft([userId], now)
  }

  /** A report of another process, valid until its next one is overdue. */
  receive(process: string, { users, count }: PresenceReport, now: number): void {
    this.#hasChanged = true
    const before = this.#remote.get(process)?.users ?? []
    const listed = new Set((users ?? []).slice(0, maxListed))
    if (count === 0) this.#remote.delete(process)
    else {
      const expiresAt = now + this.timings.presenceTtlMs
      this.#remote.set(process, { users: listed, unlisted: users ? 0 : count, expiresAt })
    }
    for (const userId of listed) this.#gone.delete(userId)
    this.#noteLeft(before, now)
  }

  /** The report of this process. */
  get own(): PresenceReport {
    const count = this.#local.size
    return { users: count > maxListed ? null : [...this.#local.keys()], count }
  }

  /**
   * The full state for a watcher that just started, with users the other watchers have not been sent yet. The next diff
   * lists some of these as joined, so this watcher receives `diffSince` this frame.
   */
  full(userId: string): PresenceFrame {
    const present = this.#present()
    if (typeof present === 'number') return { t: 'presence', key: this.key, count: present }
    present.add(userId)
    for (const id of present) if (!this.#shown.has(id)) this.#shownEarly.add(id)
    return this.#frame(present, [], [])
  }

  /** What changed since the last call; null for nothing. */
  diff(now: number): PresenceFrame | null {
    for (const [process, { users, expiresAt }] of this.#remote) {
      if (now < expiresAt) continue
      this.#remote.delete(process)
      this.#noteLeft(users, now)
      this.#hasChanged = true
    }
    if (!this.#hasChanged && this.#gone.size === 0) return null
    this.#hasChanged = false
    this.#shownEarly.clear()
    const present = this.#present()
    if (typeof present === 'number') {
      this.#shown.clear()
      this.#gone.clear()
      if (this.#shownCount === present) return null
      this.#shownCount = present
      return { t: 'presence', key: this.key, count: present }
    }
    const expired = [...this.#gone]
      .filter(([, since]) => now - since >= this.timings.presenceLeaveDelayMs)
      .map(([id]) => id)
    for (const userId of expired) {
      this.#gone.delete(userId)
      present.delete(userId)
    }
    const left = expired.filter((userId) => this.#shown.delete(userId))
    const joined = [...present].filter((userId) => !this.#shown.has(userId))
    for (const userId of joined) this.#shown.add(userId)
    const wasCounted = this.#shownCount !== null
    this.#shownCount = null
    if (joined.length === 0 && left.length === 0 && !wasCounted) return null
    return this.#frame(present, joined, left)
  }

  /** All users present, with those within the leave delay; their number where they are too many to list. */
  #present(): Set<string> | number {
    const users = new Set([...this.#local.keys(), ...this.#gone.keys()])
    let unlisted = 0
    for (const remote of this.#remote.values()) {
      for (const userId of remote.users) users.add(userId)
      unlisted += remote.unlisted
    }
    return unlisted > 0 || users.size > maxListed ? users.size + unlisted : users
  }

  #frame(present: Iterable<string>, joined: string[], left: string[]): PresenceFrame {
    const users = [...present]
    return { t: 'presence', key: this.key, users, joined, left, count: users.length }
  }

  #noteLeft(userIds: Iterable<string>, now: number): void {
    for (const userId of userIds) {
      const isRemote = [...this.#remote.values()].some(({ users }) => users.has(userId))
      const isShown = this.#shown.has(userId) || this.#shownEarly.has(userId)
      if (isShown && !this.#local.has(userId) && !isRemote && !this.#gone.has(userId))
        this.#gone.set(userId, now)
    }
  }
}

/** The part of a diff that is new to a watcher with a full frame since the diff before; null for nothing. */
export const diffSince = (full: PresenceFrame, diff: PresenceFrame): PresenceFrame | null => {
  if (!full.users || !diff.users) return full.count === diff.count && !diff.users ? null : diff
  const sent = new Set(full.users)
  const present = new Set(diff.users)
  const joined = diff.users.filter((userId) => !sent.has(userId))
  const left = full.users.filter((userId) => !present.has(userId))
  return joined.length + left.length === 0 ? null : { ...diff, joined, left }
}
