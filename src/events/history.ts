// The log for those who are behind. A crowd that comes back at once reads the same pieces of it, once and a few at a
// time, however large the frames are. Invariant: a page says up to which number nothing of the scope is missing with it.
import { keepsAfter, readScopeFrames, readShardFrames, type Framed } from '../db/feed.ts'
import type { Scope } from '../model/event.ts'
import { takeTurns } from '../turns.ts'
import { readStreamed, type ReplayDeps } from './replay.ts'
import type { Ring } from './ring.ts'
import type { LiveStats } from './stats.ts'

export interface Sources extends ReplayDeps {
  ring: Ring
}

/** What a reader of a scope lacks: the numbers in (after, upTo]. */
export interface Gap {
  scope: Scope
  shard: number
  epoch: string
  after: number
  upTo: number
  /** Whether few of them are of this scope: its own index is cheaper then. */
  isSparse: boolean
}

export interface Page {
  /** Ascending; of other scopes too, and from before the gap. */
  entries: readonly Framed[]
  upTo: number
}

interface Piece {
  entries: Promise<readonly Framed[]>
  /** Known once it was read. */
  bytes: number
}

/** Numbers of a shard that are read together: at most some 2 MiB of frames. */
const pieceNumbers = 128
const scopePageEntries = 128
const ringPageEntries = 500
const readsAtOnce = 4
/** A piece never changes; it is kept for the others of a crowd. */
const keptMs = 10_000
const maxKeptBytes = 16 * 1024 * 1024
const perEntryBytes = 100

export class History {
  readonly #pieces = new Map<string, Piece>()
  readonly #inTurn = takeTurns(readsAtOnce)

  constructor(
    readonly sources: Sources,
    private readonly stats: Pick<LiveStats, 'replays'>,
  ) {}

  /** What memory has from `after + 1` on, or null when it lacks that one. */
  recent(shard: number, after: number): readonly Framed[] | null {
    return this.sources.ring.slice(shard, after, ringPageEntries)
  }

  /**
   * The next page of a gap, from memory, the stream or PostgreSQL.
   * @throws AppError `unavailable` when it takes PostgreSQL and that is away; Error when the log no longer has it.
   */
  async page(gap: Gap): Promise<Page> {
    const held = this.recent(gap.shard, gap.after)
    if (!held) return gap.isSparse ? this.#ofScope(gap) : this.#ofShard(gap)
    this.stats.replays.ring += 1
    return { entries: held, upTo: held.at(-1)!.seq }
  }

  async #ofShard({ shard, epoch, after, upTo }: Gap): Promise<Page> {
    const from = after - (after % pieceNumbers)
    const shared = await this.#piece(epoch, shard, from, Math.min(upTo, from + pieceNumbers))
    // It may be from when less was known, or from a stream that lags behind.
    const hasNext = shared.length > 0 && shared[0]!.seq <= after + 1 && shared.at(-1)!.seq > after
    const entries = hasNext ? shared : await this.#inTurn(() => this.#read(shard, after, upTo))
    if (entries.length === 0 || entries[0]!.seq > after + 1) throw lost(shard, after)
    return { entries, upTo: entries.at(-1)!.seq }
  }

  async #piece(epoch: string, shard: number, from: number, upTo: number): Promise<readonly Framed[]> {
    const key = `${epoch} ${shard} ${from}`
    const held = this.#pieces.get(key)
    if (held) {
      this.stats.replays.shared += 1
      this.#pieces.delete(key) // the last used stands last
      this.#pieces.set(key, held)
      return held.entries
    }
    const piece: Piece = { entries: this.#readPiece(epoch, shard, from, upTo), bytes: 0 }
    this.#pieces.set(key, piece)
    const forget = (): void => {
      if (this.#pieces.get(key) === piece) this.#pieces.delete(key)
    }
    try {
      const entries = await piece.entries
      if (entries.at(-1)?.seq === from + pieceNumbers) this.#keep(piece, entries, forget)
      else forget()
      return entries
    } catch (error) {
      forget()
      throw error
    }
  }

  #keep(piece: Piece, entries: readonly Framed[], forget: () => void): void {
    for (const { frame } of entries) piece.bytes += (frame?.length ?? 0) + perEntryBytes
    setTimeout(forget, keptMs).unref()
    let bytes = 0
    for (const kept of this.#pieces.values()) bytes += kept.bytes
    for (const [key, kept] of this.#pieces) {
      if (bytes <= maxKeptBytes) return
      if (kept.bytes > 0) this.#pieces.delete(key)
      bytes -= kept.bytes
    }
  }

  #readPiece(epoch: string, shard: number, from: number, upTo: number): Promise<readonly Framed[]> {
    return this.#inTurn(async () => {
      const { redis } = this.sources
      const streamed = await readStreamed(redis, epoch, shard, from, upTo, pieceNumbers)
      if (streamed) {
        this.stats.replays.stream += 1
        return streamed.map(({ seq, scope, control, frame }) => ({ seq, scope, control, frame }))
      }
      return this.#read(shard, from, upTo)
    })
  }

  #read(shard: number, after: number, upTo: number): Promise<readonly Framed[]> {
    this.stats.replays.log += 1
    return this.sources.db.read((sql) => readShardFrames(sql, shard, after, upTo, pieceNumbers))
  }

  async #ofScope({ scope, shard, after, upTo }: Gap): Promise<Page> {
    this.stats.replays.log += 1
    const { entries, isKept } = await this.#inTurn(() =>
      this.sources.db.read(async (sql) => ({
        entries: await readScopeFrames(sql, scope, after, upTo, scopePageEntries),
        isKept: await keepsAfter(sql, shard, after), // asked last: a day of the log may be dropped at any moment
      })),
    )
    if (!isKept) throw lost(shard, after)
    return { entries, upTo: entries.length < scopePageEntries ? upTo : entries.at(-1)!.seq }
  }
}

const lost = (shard: number, after: number): Error =>
  new Error(`the log lost what follows ${after} in shard ${shard}`)
