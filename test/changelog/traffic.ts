// Writers at a steady rate, and a tail whose received entries are compared with the whole log at the end.
import { readHeads } from '../../src/db/log/feed.ts'
import { Tail, type TailOptions } from '../../src/changelog/follower/tail.ts'
import type { LogEntry } from '../../src/model/event.ts'
import { eventually } from '../support/eventually.ts'
import { ReceivedEntries, type EntryKey, type DeliveryErrors } from './received-entries.ts'
import { commit, entryOf, log, readWholeLog, scopeOf, type World } from './world.ts'
import type { Publisher } from '../../src/changelog/publisher.ts'

export interface Traffic extends AsyncDisposable {
  /** Entities of the entries whose COMMIT was acknowledged. */
  readonly acknowledged: string[]
  /** Ends the writing and waits for what is in flight. */
  stop(): Promise<void>
}

/** @param random numbers in [0, 1). Writes that fail are not repeated. */
export const startTraffic = (
  { db }: World,
  publisher: Publisher,
  random: () => number,
  { perSecond = 300 } = {},
): Traffic => {
  const acknowledged: string[] = []
  const open = new Set<Promise<void>>()
  const write = async (): Promise<void> => {
    const count = random() < 0.1 ? 4 : 1
    const entries = Array.from({ length: count }, () => entryOf(scopeOf(Math.floor(random() * 200))))
    const appended = await commit(db, entries)
    acknowledged.push(...entries.map(({ id }) => id!))
    publisher.publish(appended)
  }
  const everyMs = 10
  let owed = 0
  const timer = setInterval(() => {
    for (owed += (perSecond * everyMs) / 1000; owed >= 1; owed -= 1) {
      if (open.size > 100) continue
      const writing: Promise<void> = write()
        .catch(() => {})
        .finally(() => open.delete(writing))
      open.add(writing)
    }
  }, everyMs)
  const stop = async (): Promise<void> => {
    clearInterval(timer)
    await Promise.all(open)
  }
  return { acknowledged, stop, [Symbol.asyncDispose]: stop }
}

export interface Follower extends AsyncDisposable {
  readonly tail: Tail
  readonly received: ReceivedEntries
  /** Compares once the tail has reached the heads as they were at the call. */
  deliveryErrors(timeoutMs?: number): Promise<DeliveryErrors>
  /** The entries committed after the start. */
  expected(): Promise<EntryKey[]>
}

/** A started tail that records what it receives. */
export const follow = async (
  world: World,
  options: Partial<TailOptions> & { also?: (shard: number, entries: LogEntry[]) => void } = {},
): Promise<Follower> => {
  const received = new ReceivedEntries()
  const { also, ...others } = options
  const tail = new Tail({
    connect: world.connect,
    db: world.tailDb,
    log,
    onEntries: (shard, entries) => {
      received.add(shard, entries)
      also?.(shard, entries)
    },
    ...others,
  })
  await tail.start()
  const base = [...tail.positions]
  const expected = async () => (await readWholeLog(world.db)).filter(({ shard, seq }) => seq > base[shard]!)
  return {
    tail,
    received,
    expected,
    async deliveryErrors(timeoutMs = 5_000) {
      const { seqs } = await world.db.read(readHeads)
      const requireHeads = (): void => {
        const late = seqs.filter((seq, shard) => tail.positions[shard]! < seq).length
        if (late > 0) throw new Error(`${late} shards are late`)
      }
      await eventually(requireHeads, { timeoutMs, progress: () => tail.positions.join() })
      return received.compareWith(await expected())
    },
    [Symbol.asyncDispose]: () => tail[Symbol.asyncDispose](),
  }
}
