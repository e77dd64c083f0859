// The shards of this worker. Invariants: in this process a shard has one run at a time, and only under a lease; losing
// the session of the leases stops all runs at once.
import { shardCount } from '../../model/scope.ts'
import type { Leases } from '../../db/leases.ts'
import type { Log } from '../../log.ts'
import { loop } from '../loops/loop.ts'

export interface ShardsOptions {
  open: () => Promise<Leases>
  log: Log
  /** Processes the shard until `signal` aborts; never rejects. */
  run: (shard: number, signal: AbortSignal) => Promise<void>
}

/** One shard under a lease: running, then stopping (`stop` aborted), then ended, then its lease is released. */
interface Holding {
  stop: AbortController
  hasEnded: boolean
}

const everyMs = 250

/** The number of shards for the worker at `place` (from 0) of `workers`; over all places they add up to all shards. */
export const fairShare = (workers: number, place: number): number =>
  Math.floor(shardCount / workers) + (place < shardCount % workers ? 1 : 0)

/*
 * The problem: any number of workers start, stop, crash or hang, and each shard should be processed by one of them. A
 * coordinator that assigns shards would itself need a leader, a store and a protocol for its failure. The way chosen
 * needs neither messages nor a leader: every 250 ms each worker counts the workers and finds its own place among them
 * (`Leases.survey`), computes its fair share, stops the runs above it and acquires free shards below it. A worker
 * releases a lease only after the run has ended, so that the next holder starts on a shard at rest. All workers compute
 * the same shares from the same view; while their views differ, a shard stays free or with its holder for a round.
 * Two holders at once (a paused process) cannot repeat effects: the position in the database decides, see ShardConsumer.
 */

export class Shards implements AsyncDisposable {
  #leases: Leases | null = null
  #holdings = new Map<number, Holding>()
  /** The last run of each shard: the next one starts when it has ended. */
  #runs = new Map<number, Promise<void>>()
  #stop = new AbortController()
  #running: Promise<void>

  constructor(private readonly options: ShardsOptions) {
    const { log } = options
    this.#running = loop({
      name: 'shards',
      everyMs,
      log,
      signal: this.#stop.signal,
      work: () => this.#balance(),
    })
  }

  /** The shards with a lease and a run that is not stopping. */
  get held(): number[] {
    return [...this.#holdings].filter(([, { stop }]) => !stop.signal.aborted).map(([shard]) => shard)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    for (const { stop } of this.#holdings.values()) stop.abort()
    await this.#running
    await Promise.all(this.#runs.values())
    await this.#leases?.[Symbol.asyncDispose]()
  }

  async #balance(): Promise<void> {
    const leases = await this.#session()
    const { workers, place } = await leases.survey()
    const ended = [...this.#holdings].filter(([, { hasEnded }]) => hasEnded).map(([shard]) => shard)
    if (ended.length > 0) await leases.release(ended)
    for (const shard of ended) this.#holdings.delete(shard)
    const { held } = this
    const wanted = fairShare(workers, place)
    for (const shard of held.slice(wanted)) this.#holdings.get(shard)!.stop.abort()
    // Shards still stopping are not candidates: none is released and acquired again at once.
    const missing = wanted - held.length
    if (missing <= 0) return
    const candidates = Array.from({ length: shardCount }, (_, shard) => shard).filter(
      (shard) => !this.#holdings.has(shard),
    )
    for (const shard of await leases.acquire(candidates, missing)) this.#start(shard)
  }

  async #session(): Promise<Leases> {
    if (this.#leases && !this.#leases.lost.aborted) return this.#leases
    await this.#leases?.[Symbol.asyncDispose]()
    this.#leases = null
    const leases = await this.options.open()
    leases.lost.addEventListener('abort', () => this.#drop(), { once: true })
    return (this.#leases = leases)
  }

  #start(shard: number): void {
    if (this.#stop.signal.aborted || this.#leases!.lost.aborted) return
    const holding: Holding = { stop: new AbortController(), hasEnded: false }
    this.#holdings.set(shard, holding)
    const previous = this.#runs.get(shard) ?? Promise.resolve()
    this.#runs.set(shard, this.#run(shard, holding, previous))
  }

  async #run(shard: number, holding: Holding, previous: Promise<void>): Promise<void> {
    await previous
    await this.options.run(shard, holding.stop.signal)
    holding.hasEnded = true
  }

  /** The session is lost, and with it every lease. */
  #drop(): void {
    if (!this.#stop.signal.aborted)
      this.options.log.warn({ shards: this.held, oncePerMinute: 'leases' }, 'leases lost, all shards stopped')
    for (const { stop } of this.#holdings.values()) stop.abort()
    this.#holdings.clear()
  }
}
