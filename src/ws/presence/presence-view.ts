// Who is at one place, as this process knows it: its own people and what other processes said of theirs. Only the
// clock comes from outside. Bounded: above `maxListed` people nobody is named any more, there is only a count.
import type { PresenceKey } from '../../model/scope.ts'
import type { SocketTimings, PresenceFrame } from '../protocol.ts'

/** Above this many people at a place, a count only. */
export const maxListed = 200

/** What a process says of its own people; `users` is null where there are too many. */
export interface Attendance {
  users: string[] | null
  count: number
}

interface Elsewhere {
  users: ReadonlySet<string>
  /** People not named. */
  unnamed: number
  expiresAt: number
}

export class PresenceView {
  /** This process's people and how many connections each has here. */
  readonly #here = new Map<string, number>()
  readonly #elsewhere = new Map<string, Elsewhere>()
  /** Who was told to all who watched before the last news. */
  readonly #shown = new Set<string>()
  /** Who was told only to those who came since: for these, too, they leave with the delay and are told as gone. */
  readonly #shownEarly = new Set<string>()
  /** Of those shown who is gone since when, not told yet: they may be about to come back. */
  readonly #gone = new Map<string, number>()
  /** The last count told; null while people are named. */
  #shownCount: number | null = null
  #hasChanged = false

  constructor(
    readonly key: PresenceKey,
    private readonly timings: Pick<SocketTimings, 'presenceLeaveDelayMs' | 'presenceTtlMs'>,
  ) {}

  enter(userId: string): void {
    this.#hasChanged = true
    this.#here.set(userId, (this.#here.get(userId) ?? 0) + 1)
    this.#gone.delete(userId)
  }

  leave(userId: string, now: number): void {
    this.#hasChanged = true
    const left = (this.#here.get(userId) ?? 0) - 1
    if (left > 0) this.#here.set(userId, left)
    else if (this.#here.delete(userId)) this.#missing([userId], now)
  }

  /** Another process said who is there; that counts until it should have said so again. */
  hear(process: string, { users, count }: Attendance, now: number): void {
    this.#hasChanged = true
    const before = this.#elsewhere.get(process)?.users ?? []
    const named = new Set((users ?? []).slice(0, maxListed))
    if (count === 0) this.#elsewhere.delete(process)
    else {
      const expiresAt = now + this.timings.presenceTtlMs
      this.#elsewhere.set(process, { users: named, unnamed: users ? 0 : count, expiresAt })
    }
    for (const userId of named) this.#gone.delete(userId)
    this.#missing(before, now)
  }

  /** What to tell other processes. */
  get own(): Attendance {
    const count = this.#here.size
    return { users: count > maxListed ? null : [...this.#here.keys()], count }
  }

  /**
   * For one who just came: everybody there now, also those of whom the others have no news yet. The next news lists
   * some of these as joined, so what this one hears of it is `newsSince` this frame.
   */
  full(userId: string): PresenceFrame {
    const present = this.#present()
    if (typeof present === 'number') return { t: 'presence', key: this.key, count: present }
    present.add(userId)
    for (const id of present) if (!this.#shown.has(id)) this.#shownEarly.add(id)
    return this.#frame(present, [], [])
  }

  /** What is news since the last time it was asked for; null for nothing. */
  news(now: number): PresenceFrame | null {
    for (const [process, { users, expiresAt }] of this.#elsewhere) {
      if (now < expiresAt) continue
      this.#elsewhere.delete(process)
      this.#missing(users, now)
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
    const over = [...this.#gone]
      .filter(([, since]) => now - since >= this.timings.presenceLeaveDelayMs)
      .map(([id]) => id)
    for (const userId of over) {
      this.#gone.delete(userId)
      present.delete(userId)
    }
    const left = over.filter((userId) => this.#shown.delete(userId))
    const joined = [...present].filter((userId) => !this.#shown.has(userId))
    for (const userId of joined) this.#shown.add(userId)
    const wasCounted = this.#shownCount !== null
    this.#shownCount = null
    if (joined.length === 0 && left.length === 0 && !wasCounted) return null
    return this.#frame(present, joined, left)
  }

  /** Everybody there, those included who left a moment ago; a number where they are too many to name. */
  #present(): Set<string> | number {
    const users = new Set([...this.#here.keys(), ...this.#gone.keys()])
    let unnamed = 0
    for (const elsewhere of this.#elsewhere.values()) {
      for (const userId of elsewhere.users) users.add(userId)
      unnamed += elsewhere.unnamed
    }
    return unnamed > 0 || users.size > maxListed ? users.size + unnamed : users
  }

  #frame(present: Iterable<string>, joined: string[], left: string[]): PresenceFrame {
    const users = [...present]
    return { t: 'presence', key: this.key, users, joined, left, count: users.length }
  }

  #missing(userIds: Iterable<string>, now: number): void {
    for (const userId of userIds) {
      const isElsewhere = [...this.#elsewhere.values()].some(({ users }) => users.has(userId))
      const isShown = this.#shown.has(userId) || this.#shownEarly.has(userId)
      if (isShown && !this.#here.has(userId) && !isElsewhere && !this.#gone.has(userId))
        this.#gone.set(userId, now)
    }
  }
}

/** What of the news is new to one who had a full frame since the news before; null for nothing. */
export const newsSince = (full: PresenceFrame, news: PresenceFrame): PresenceFrame | null => {
  if (!full.users || !news.users) return full.count === news.count && !news.users ? null : news
  const told = new Set(full.users)
  const present = new Set(news.users)
  const joined = news.users.filter((userId) => !told.has(userId))
  const left = full.users.filter((userId) => !present.has(userId))
  return joined.length + left.length === 0 ? null : { ...news, joined, left }
}
