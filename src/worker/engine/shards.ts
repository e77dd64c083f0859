// Dividing the shards among the workers. Each holds as many as are fair, takes what is free, gives back what is
// too much, and four times a second looks how many share. Invariants: in this process a shard is worked on by one run
// at a time, and only under a lease; a lost session stops all runs at once.
import { shardCount } from '../../model/scope.ts'
import type { Leases } from '../../db/leases.ts'
import type { Log } from '../../log.ts'
import { loop } from '../loops/loop.ts'

export interface ShardsOptions {
  open: () => Promise<Leases>
  log: Log
  /** Works on the shard until `signal` aborts; never rejects. */
  run: (shard: number, signal: AbortSignal) => Promise<void>
}

/** One shard under a lease: working, then stopping, then over and to be given back. */
interface Holding {
  stop: AbortController
  isOver: boolean
}

const everyMs = 250

/** How many shards the worker at `place` (from 0) of `workers` should hold; over all places they add up. */
export const fairShare = (workers: number, place: number): number =>
  Math.floor(shardCount / workers) + (place < shardCount % workers ? 1 : 0)

export class Shards implements AsyncDisposable {
  #leases: Leases | null = null
  #holdings = new Map<number, Holding>()
  /** The last run of each shard: the next one begins when it is over. */
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

  /** The shards this worker works on now. */
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
    const over = [...this.#holdings].filter(([, { isOver }]) => isOver).map(([shard]) => shard)
    if (over.length > 0) await leases.release(over)
    for (const shard of over) this.#holdings.delete(shard)
    const { held } = this
    const wanted = fairShare(workers, place)
    for (const shard of held.slice(wanted)) this.#holdings.get(shard)!.stop.abort()
    // What is still being given back counts, so that nothing is given back and taken again.
    const missing = wanted - held.length
    if (missing <= 0) return
    const others = Array.from({ length: shardCount }, (_, shard) => shard).filter(
      (shard) => !this.#holdings.has(shard),
    )
    for (const shard of await leases.acquire(others, missing)) this.#start(shard)
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
    const holding: Holding = { stop: new AbortController(), isOver: false }
    this.#holdings.set(shard, holding)
    const before = this.#runs.get(shard) ?? Promise.resolve()
    this.#runs.set(shard, this.#run(shard, holding, before))
  }

  async #run(shard: number, holding: Holding, before: Promise<void>): Promise<void> {
    await before
    await this.options.run(shard, holding.stop.signal)
    holding.isOver = true
  }

  /** The session is lost, and every lease with it. */
  #drop(): void {
    if (!this.#stop.signal.aborted)
      this.options.log.warn({ shards: this.held, oncePerMinute: 'leases' }, 'lost the leases')
    for (const { stop } of this.#holdings.values()) stop.abort()
    this.#holdings.clear()
  }
}
