// The last states of views in a storage, so that a program that starts while the server is away shows them. Invariants: a state belongs to one person and is given to no other; it is text of a bounded size with a format
// number, and what cannot be read as this format is as if it were not there; at most `maxViews` are kept.
//
// A state is kept with the last cursor up to which everything is certain. It may be ahead of that cursor: what comes
// again from there has no newer version and is ignored, so that the effect of each event happens once.
import type { Session } from '../session.ts'
import type { Timing } from '../timing.ts'

/** Where states outlive the program. A view that cannot be stored is not kept; nothing else depends on it. */
export interface ViewStorage {
  loadView(key: string): Promise<string | null>
  saveView(key: string, text: string): Promise<void>
  removeView(key: string): Promise<void>
  viewKeys(): Promise<string[]>
}

export interface PersistedState {
  scope: string
  cursor: string
  /** When it was kept, RFC 3339. */
  at: string
  /** As the view dumps it. */
  state: unknown
}

/** Another number for each change of what is stored: older and newer formats are ignored. */
const format = 1
export const maxViews = 20
/** Characters of one state; a larger one is not kept. */
export const maxStateLength = 2 * 1024 * 1024

export class PersistedViews {
  /** Whose state was given out while it was not known who is signed in; null where that was never so. */
  owner: string | null = null
  /** Storage operations run one after another, so that what is cleared is not saved by an earlier call. */
  #queue: Promise<unknown> = Promise.resolve()

  constructor(
    private readonly storage: ViewStorage | null,
    private readonly session: Pick<Session, 'userId' | 'tokens' | 'isCookiePossible'>,
    readonly timing: Pick<Timing, 'persistDelayMs' | 'restoreMs'>,
  ) {}

  get isEnabled(): boolean {
    return this.storage !== null
  }

  /** Null where there is none for who is signed in, or the storage does not answer in time. */
  load(key: string): Promise<PersistedState | null> {
    const { storage } = this
    if (!storage) return Promise.resolve(null)
    let timer: ReturnType<typeof setTimeout> | undefined
    const late = new Promise<null>((resolve) => {
      timer = setTimeout(() => resolve(null), this.timing.restoreMs)
    })
    // What cannot be read is not shown: the view reads its snapshot as if nothing had been kept.
    const found = this.#read(storage, key).catch(() => null)
    return Promise.race([found, late]).finally(() => clearTimeout(timer))
  }

  save(key: string, kept: PersistedState): void {
    const owner = this.session.userId
    if (owner === null) return // of a personal access token it is not known whose it is
    const text = JSON.stringify({ format, owner, ...kept })
    if (text.length > maxStateLength) return this.remove(key)
    this.#enqueue(async (storage) => {
      if (this.session.userId !== owner) return
      await storage.saveView(key, text)
      const others = (await storage.viewKeys()).filter((one) => one !== key)
      for (const surplus of others.slice(0, Math.max(0, others.length + 1 - maxViews)))
        await storage.removeView(surplus)
    })
  }

  /** Not what another person keeps under the same key in a storage that both use. */
  remove(key: string): void {
    const owner = this.session.userId ?? this.owner
    this.#enqueue(async (storage) => {
      const text = await storage.loadView(key)
      const kept = text === null ? null : parsePersisted(text)
      if (!kept || kept.owner === owner) await storage.removeView(key)
    })
  }

  /** The person signed out, or is another one: nothing stays. */
  clear(): void {
    this.owner = null
    this.#enqueue(async (storage) => {
      for (const key of await storage.viewKeys()) await storage.removeView(key)
    })
  }

  async #read(storage: ViewStorage, key: string): Promise<PersistedState | null> {
    const text = await storage.loadView(key)
    if (text === null) return null
    const kept = parsePersisted(text)
    if (!kept) return null
    const held = await this.session.tokens()
    // Without a token the user is unknown; the browser's cookie is then of the last sign-in.
    const isOwn = held ? held.userId === kept.owner : this.session.isCookiePossible
    if (!isOwn) return null
    this.owner ??= kept.owner
    return this.owner === kept.owner ? kept : null
  }

  /** A storage that fails keeps an older state or none: both are right, only older. */
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
    return null // torn, or not ours
  }
}

/** One view's place in it: saves what changed a while ago, at most once in that time. */
export class PersistedView {
  #timer: ReturnType<typeof setTimeout> | null = null

  /** @param dump the state as it is; null while it is not whole. */
  constructor(
    private readonly views: PersistedViews,
    private readonly key: string,
    private readonly dump: () => PersistedState | null,
  ) {}

  get isEnabled(): boolean {
    return this.views.isEnabled
  }

  load(): Promise<PersistedState | null> {
    return this.views.load(this.key)
  }

  changed(): void {
    if (!this.views.isEnabled) return
    this.#timer ??= setTimeout(() => {
      this.#timer = null
      if (!this.#save()) this.changed()
    }, this.views.timing.persistDelayMs)
  }

  /** Saves what has changed, and ends. */
  close(): void {
    if (this.#timer !== null) this.#save()
    this.stop()
  }

  /** Ends without saving. */
  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
  }

  remove(): void {
    this.stop()
    this.views.remove(this.key)
  }

  #save(): boolean {
    const state = this.dump()
    if (state) this.views.save(this.key, state)
    return state !== null
  }
}
