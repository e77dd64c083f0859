// The last states of views in a storage, so that a program that starts while the server is away shows them. Invariants:
// a state belongs to one user and is given to no other; it is text of a bounded size with a format number, and any other
// text is ignored; at most `maxViews` are stored.
//
// A state is stored with the last confirmed cursor. It may be ahead of that cursor: events that are replayed from there
// have no newer version and are ignored, so that the effect of each event happens once.
import { Deadline } from '../async/deadline.ts'
import { waitFor } from '../async/signals.ts'
import type { Session } from '../session.ts'
import type { Timing } from '../timing.ts'

/** Where states outlive the program. A failure only means that an older state, or none, is stored. */
export interface ViewStorage {
  loadView(key: string): Promise<string | null>
  saveView(key: string, text: string): Promise<void>
  removeView(key: string): Promise<void>
  viewKeys(): Promise<string[]>
}

export interface PersistedState {
  scope: string
  cursor: string
  /** When it was stored, RFC 3339. */
  at: string
  /** As the view dumps it. */
  state: unknown
}

/** Changes with the stored form: states of other formats are ignored. */
const format = 1
export const maxViews = 20
/** Characters of one state; a larger one is not stored. */
export const maxStateLength = 2 * 1024 * 1024

export class PersistedViews {
  /** The owner of a state that was given out before it was known which user is signed in; null if there was none. */
  owner: string | null = null
  /** Storage operations run one after another, so that an earlier save cannot undo `clear`. */
  #queue: Promise<unknown> = Promise.resolve()

  constructor(
    private readonly storage: ViewStorage | null,
    private readonly session: Pick<Session, 'userId' | 'tokens' | 'isCookiePossible'>,
    readonly timing: Pick<Timing, 'persistDelayMs' | 'restoreMs'>,
  ) {}

  get isEnabled(): boolean {
    return this.storage !== null
  }

  /** Null where the signed-in user has none, or the storage does not answer in time. */
  load(key: string): Promise<PersistedState | null> {
    const { storage } = this
    if (!storage) return Promise.resolve(null)
    const deadline = new Deadline(this.timing.restoreMs)
    // Without a readable state in time the view reads its snapshot, as if nothing had been stored.
    return waitFor(this.#read(storage, key), deadline.signal)
      .catch(() => null)
      .finally(() => deadline.clear())
  }

  save(key: string, stored: PersistedState): void {
    const owner = this.session.userId
    if (owner === null) return // the owner of a personal access token is unknown
    const text = JSON.stringify({ format, owner, ...stored })
    if (text.length > maxStateLength) return this.remove(key)
    this.#enqueue(async (storage) => {
      if (this.session.userId !== owner) return
      await storage.saveView(key, text)
      const others = (await storage.viewKeys()).filter((one) => one !== key)
      for (const surplus of others.slice(0, Math.max(0, others.length + 1 - maxViews)))
        await storage.removeView(surplus)
    })
  }

  /** Keeps the state that another user has under the same key in a shared storage. */
  remove(key: string): void {
    const owner = this.session.userId ?? this.owner
    this.#enqueue(async (storage) => {
      const text = await storage.loadView(key)
      const stored = text === null ? null : parsePersisted(text)
      if (!stored || stored.owner === owner) await storage.removeView(key)
    })
  }

  /** The user signed out, or another one signed in: removes every state. */
  clear(): void {
    this.owner = null
    this.#enqueue(async (storage) => {
      for (const key of await storage.viewKeys()) await storage.removeView(key)
    })
  }

  async #read(storage: ViewStorage, key: string): Promise<PersistedState | null> {
    const text = await storage.loadView(key)
    if (text === null) return null
    const stored = parsePersisted(text)
    if (!stored) return null
    const held = await this.session.tokens()
    // Without a token the user is unknown; the browser's cookie then belongs to the last sign-in.
    const isOwn = held ? held.userId === stored.owner : this.session.isCookiePossible
    if (!isOwn) return null
    this.owner ??= stored.owner
    return this.owner === stored.owner ? stored : null
  }

  /** Ignores failures of the storage: the older state, or none, is correct too. */
  #enqueue(work: (storage: ViewStorage) => Promise<void>): void {
    const { storage } = this
    if (storage) this.#queue = this.#queue.then(() => work(storage)).catch(() => {})
  }
}

const parsePersisted = (text: string): (PersistedState & { owner: string }) | null => {
  const value = parse(text)
  if (typeof value !== 'object' || value === null || !('format' in value) || value.format !== format)
    return null
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- each member is checked below
  const { owner, scope, cursor, at, state } = value as Record<string, unknown>
  const isText = typeof owner === 'string' && typeof scope === 'string' && typeof at === 'string'
  if (!isText || typeof cursor !== 'string' || !/^[^.]+\.\d+\.\d+$/.test(cursor)) return null
  return { owner, scope, cursor, at, state }
}

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return null // incomplete, or of another program
  }
}
