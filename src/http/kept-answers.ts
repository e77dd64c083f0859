// Answers of lists, kept in the process and shared with others for as long as nothing they show has changed. Invariant: an answer is sent only
// after the heads of its scopes were read during the request and are those it was built at.
import { BoundedCache } from '../async/bounded-cache.ts'
import type { ScopeHeads } from '../db/log/scope-heads.ts'
import type { Reads } from '../db/reads.ts'
import type { Actor } from '../model/actor.ts'
import type { StoredResponse } from '../model/stored-response.ts'
import type { SharedAnswer, SharedAnswers } from './shared-answers.ts'
import type { UnsentAnswers } from './unsent-answers.ts'

/** A new answer, and the scopes that announce every change of it; null where the clock or something else changes it. */
export interface BuiltAnswer<R extends StoredResponse = StoredResponse> {
  response: R
  heads: ScopeHeads | null
  /** How long it is exact while the heads are the same, where the clock changes it after that. */
  validForMs?: number
}

export interface KeptAnswersOptions {
  /** Bytes of all answers (32 MiB). */
  maxBytes?: number
  /** Bytes of the answers of one user (4 MiB). */
  maxBytesPerUser?: number
  /** Answers of one user (128). */
  maxPerUser?: number
}

interface Kept extends Readonly<SharedAnswer> {
  readonly id: string
  readonly expiresAt: number
}

interface KeptAnswersDeps {
  reads: Pick<Reads, 'heads'>
  /** Null where no other process sends the same answers. */
  shared: Pick<SharedAnswers, 'find' | 'offer'> | null
  unsent: Pick<UnsentAnswers, 'inTurn'>
}

const maxUsers = 10_000
/** Rows past their retention are deleted without entries; an answer with a row near that age is not kept (domain). */
const keptForMs = 60 * 60_000
/** What an entry weighs besides its texts, and one of its scopes. */
const [entryBytes, scopeBytes] = [500, 100]
/** How often a request waits for an equal one that builds the same answer. */
const maxJoins = 2

/*
 * Problem: a page of 20 tasks costs PostgreSQL some 200 µs and this process as much, although most reads of a list find
 * what the read before found. The naive way, a cache with a time to live, is stale for that time; one that writes
 * invalidate has to reach every process before the write is answered, also a process that is partitioned from Redis.
 * The way chosen asks PostgreSQL, but for less: every write appends to the scopes of what it changes in its own
 * transaction, so an answer is as fresh as a new one if no scope it depends on has another head than when it was
 * built. Heads of all requests of a turn are read by one statement of one row (`Reads.heads`).
 *
 * The heads are read before the access and the rows of an answer, or in the statement of the rows. Then a change
 * between the two reads makes the kept heads too old, which costs a rebuild; read after the rows they would be too
 * new, and the answer stale for good. `domain/` decides for each list which scopes these are.
 *
 * Equal requests that arrive while an answer is built wait for it and then read the heads, as for a kept one: a write
 * that was answered before they arrived is seen. Each user has room of its own, so that one who reads a thousand
 * different lists does not displace the answers of the others.
 *
 * A process that has no exact answer asks Redis for one that another has built, where there are others, and compares its
 * heads in the same way: a look-up takes a tenth of a rebuild.
 */
export class KeptAnswers {
  /** By user, then by URL. */
  readonly #users: BoundedCache<string, BoundedCache<string, Kept>>
  readonly #building = new Map<string, Promise<Kept | null>>()
  #built = 0
  #hits = 0
  #taken = 0
  #kept = 0

  constructor(
    private readonly deps: KeptAnswersDeps,
    private readonly options: KeptAnswersOptions = {},
  ) {
    const { maxBytes = 32 * 1024 * 1024 } = options
    this.#users = new BoundedCache({ maxEntries: maxUsers, maxWeight: maxBytes })
  }

  /** Of everything kept. */
  get bytes(): number {
    return this.#users.weight
  }

  /** Answers that were built, those that were sent again, and those that another process had built. */
  get counts(): { built: number; hits: number; taken: number } {
    return { built: this.#built, hits: this.#hits, taken: this.#taken }
  }

  /**
   * @param url what the answer depends on besides the actor; equal only for answers of one type.
   * @param build reads and renders the answer, and authorizes. @param isLarge builds it in a turn of the user.
   */
  async answer<R extends StoredResponse = StoredResponse>(
    actor: Actor,
    url: string,
    build: () => Promise<BuiltAnswer<R>>,
    isLarge = false,
  ): Promise<R> {
    const { userId, role } = actor
    for (let joins = 0; joins < maxJoins; joins += 1) {
      const building = this.#building.get(userId + url)
      const kept = building ? await building : (this.#users.get(userId)?.get(url) ?? null)
      if (kept && kept.role === role && performance.now() < kept.expiresAt) {
        const heads = await this.deps.reads.heads(userId, kept.scopes, kept.id)
        if (heads === kept.heads) {
          this.#hits += 1
          // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the URL always has the same builder
          return kept.response as R
        }
      }
      // An equal request may have begun, or ended, another answer while the heads were read.
      const isLatest = kept === (this.#users.get(userId)?.get(url) ?? null)
      if (isLatest && !this.#building.has(userId + url)) break
    }
    return this.#build(actor, url, isLarge ? () => this.deps.unsent.inTurn(userId, build) : build)
  }

  async #build<R extends StoredResponse>(
    actor: Actor,
    url: string,
    build: () => Promise<BuiltAnswer<R>>,
  ): Promise<R> {
    const key = actor.userId + url
    const { promise, resolve } = Promise.withResolvers<Kept | null>()
    this.#building.set(key, promise)
    let kept: Kept | null = null
    try {
      kept = await this.#take(actor, url)
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the URL always has the same builder
      if (kept) return kept.response as R
      this.#built += 1
      const startedAt = performance.now()
      const { response, heads, validForMs } = await build()
      // A read by the right of admins is noted, so it is made each time.
      const isOverride = (actor.overrides?.size ?? 0) > 0
      if (heads && !isOverride) {
        const exact = { response, role: actor.role, ...heads }
        kept = this.#keep(actor, url, exact, startedAt + Math.min(keptForMs, validForMs ?? keptForMs))
        // Clocks differ between processes: what the clock changes stays here.
        if (validForMs === undefined) this.deps.shared?.offer(actor.userId, url, exact)
      }
      return response
    } finally {
      resolve(kept) // null where it failed: those who waited build it themselves
      if (this.#building.get(key) === promise) this.#building.delete(key)
    }
  }

  /** The answer that another process has built, if it is still exact. */
  async #take(actor: Actor, url: string): Promise<Kept | null> {
    const { userId, role } = actor
    const found = await this.deps.shared?.find(userId, url)
    if (!found || found.role !== role) return null
    if ((await this.deps.reads.heads(userId, found.scopes)) !== found.heads) return null
    this.#taken += 1
    return this.#keep(actor, url, found, performance.now() + keptForMs)
  }

  #keep({ userId }: Actor, url: string, answer: SharedAnswer, expiresAt: number): Kept {
    const { response, role, scopes, heads } = answer
    const { maxBytesPerUser = 4 * 1024 * 1024, maxPerUser = 128 } = this.options
    const ofUser = this.#users.getOrCreate(
      userId,
      () => new BoundedCache({ maxEntries: maxPerUser, maxWeight: maxBytesPerUser }),
    )
    const kept: Kept = {
      response,
      role,
      scopes,
      heads,
      id: String((this.#kept += 1)), // of its own: answers that are built at once have different scopes
      expiresAt,
    }
    const texts = 2 * ((response.body?.length ?? 0) + url.length)
    ofUser.set(url, kept, texts + entryBytes + scopes.length * scopeBytes)
    this.#users.reweigh(userId, ofUser, ofUser.weight)
    return kept
  }
}
