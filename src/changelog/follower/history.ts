// Missed entries for subscribers that are behind. Invariant: with a page, a reader has every entry of its scope up to
// the page's `upTo`.
//
// Problem: after a restart thousands of clients resume from nearby cursors at once. The naive way, a query from each
// cursor, reads and parses the same rows thousands of times and holds all of those results in memory. The way chosen:
// memory first; otherwise the shard is cut into pieces at fixed numbers (multiples of 128), so that readers at different
// cursors ask for equal pieces, concurrent readers share one read, and a whole piece, which never changes, is kept for
// 10 s within 16 MiB. Reads are queued fairly by caller, four at a time. A scope with few entries in a long gap is read
// by its own index instead.
import type { CallerDatabase } from '../../db/client.ts'
import type { Scope } from '../../model/scope.ts'
import { BoundedCache } from '../../async/bounded-cache.ts'
import { keepsAfter, readScopeFrames, readShardFrames, type Framed } from '../../db/log/feed.ts'
import { FairQueue } from '../../limits/fair-queue.ts'
import { readStreamed, type ReplayDeps } from './read-log.ts'
import type { Ring } from './ring.ts'
import type { LiveStats } from '../live-stats.ts'

export interface Sources extends Pick<ReplayDeps, 'redis'> {
  ring: Ring
  db: CallerDatabase
}

/** What a reader of a scope has missed: the numbers in (after, upTo]. */
export interface Gap {
  scope: Scope
  shard: number
  epoch: string
  after: number
  upTo: number
  /** Whether few of them are of this scope: reading by the scope's index is cheaper then. */
  isSparse: boolean
}

export interface Page {
  /** Ascending; includes entries of other scopes, and entries from before the gap. */
  entries: readonly Framed[]
  upTo: number
}

/** What one read covers: the numbers in (from, upTo] of a shard. */
interface Range {
  epoch: string
  shard: number
  from: number
  upTo: number
}

/** Numbers of a shard in a piece: at most some 2 MiB of frames. */
const pieceNumbers = 128
const scopePageEntries = 128
const ringPageEntries = 500
const readsAtOnce = 4
const readsPerCaller = 2
/** Of one caller; each of its connections waits for at most one. */
const maxWaitingReads = 512
const queueDeadlineMs = 30_000
const keptMs = 10_000
const maxKeptBytes = 16 * 1024 * 1024
const perEntryBytes = 100
/** Pieces without any frame would fill `maxKeptBytes` at this number. */
const maxPieces = Math.ceil(maxKeptBytes / (pieceNumbers * perEntryBytes))

export class History {
  /** Complete pieces, kept for the other readers of a crowd: what is in them never changes. */
  readonly #pieces = new BoundedCache<string, readonly Framed[]>({
    maxEntries: maxPieces,
    maxWeight: maxKeptBytes,
    ttlMs: keptMs,
  })
  /** Pieces being read now. */
  readonly #reads = new Map<string, Promise<readonly Framed[]>>()
  readonly #turns = new FairQueue({
    atOnce: readsAtOnce,
    perCaller: readsPerCaller,
    maxWaiting: maxWaitingReads,
  })

  constructor(
    readonly sources: Sources,
    private readonly stats: Pick<LiveStats, 'replays'>,
  ) {}

  /** The entries in memory from `after + 1` on, or null when memory does not hold that one. */
  recent(shard: number, after: number): readonly Framed[] | null {
    return this.sources.ring.slice(shard, after, ringPageEntries)
  }

  /**
   * The next page of a gap, from memory, the stream or PostgreSQL; reads wait in the caller's queue.
   * @throws AppError `unavailable` when only PostgreSQL has it and is away; Error when the log no longer has it.
   */
  async page(gap: Gap, caller: string): Promise<Page> {
    const held = this.recent(gap.shard, gap.after)
    if (!held) return gap.isSparse ? this.#ofScope(gap, caller) : this.#ofShard(gap, caller)
    this.stats.replays.ring += 1
    return { entries: held, upTo: held.at(-1)!.seq }
  }

  async #ofShard({ shard, epoch, after, upTo }: Gap, caller: string): Promise<Page> {
    const from = after - (after % pieceNumbers)
    const shared = await this.#piece(
      { epoch, shard, from, upTo: Math.min(upTo, from + pieceNumbers) },
      caller,
    )
    // The piece may have been read when its shard was shorter, or from a stream that is behind.
    const hasNext = shared.length > 0 && shared[0]!.seq <= after + 1 && shared.at(-1)!.seq > after
    const entries = hasNext
      ? shared
      : await this.#inTurn(caller, () => this.#read(caller, shard, after, upTo))
    if (entries.length === 0 || entries[0]!.seq > after + 1) throw lost(shard, after)
    return { entries, upTo: entries.at(-1)!.seq }
  }

  async #piece(range: Range, caller: string): Promise<readonly Framed[]> {
    const { epoch, shard, from } = range
    const key = `${epoch} ${shard} ${from}`
    const held = this.#pieces.get(key) ?? this.#reads.get(key)
    if (held) {
      this.stats.replays.shared += 1
      return held
    }
    const read = this.#readPiece(range, caller)
    this.#reads.set(key, read)
    try {
      const entries = await read
      if (entries.at(-1)?.seq === from + pieceNumbers) this.#pieces.set(key, entries, bytesOf(entries))
      return entries
    } finally {
      this.#reads.delete(key)
    }
  }

  #readPiece({ epoch, shard, from, upTo }: Range, caller: string): Promise<readonly Framed[]> {
    return this.#inTurn(caller, async () => {
      const { redis } = this.sources
      const streamed = await readStreamed(redis, epoch, shard, from, upTo, pieceNumbers)
      if (streamed) {
        this.stats.replays.stream += 1
        return streamed.map(({ seq, scope, control, frame }) => ({ seq, scope, control, frame }))
      }
      return this.#read(caller, shard, from, upTo)
    })
  }

  #inTurn<T>(caller: string, work: () => Promise<T>): Promise<T> {
    return this.#turns.run(caller, work, queueDeadlineMs)
  }

  #read(caller: string, shard: number, after: number, upTo: number): Promise<readonly Framed[]> {
    this.stats.replays.log += 1
    return this.sources.db.of(caller).read((sql) => readShardFrames(sql, shard, after, upTo, pieceNumbers))
  }

  async #ofScope({ scope, shard, after, upTo }: Gap, caller: string): Promise<Page> {
    this.stats.replays.log += 1
    const { entries, isKept } = await this.#inTurn(caller, () =>
      this.sources.db.of(caller).read(async (sql) => ({
        entries: await readScopeFrames(sql, scope, after, upTo, scopePageEntries),
        isKept: await keepsAfter(sql, shard, after), // read last: a partition of the log may be dropped at any moment
      })),
    )
    if (!isKept) throw lost(shard, after)
    return { entries, upTo: entries.length < scopePageEntries ? upTo : entries.at(-1)!.seq }
  }
}

const bytesOf = (entries: readonly Framed[]): number =>
  entries.reduce((bytes, { frame }) => bytes + (frame?.length ?? 0) + perEntryBytes, 0)

const lost = (shard: number, after: number): Error =>
  new Error(`the log no longer has the entries after ${after} in shard ${shard}`)
