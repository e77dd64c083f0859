// What a fault is, and what is counted of it. One file a fault in `faults/`; `suites.ts` lists them.
import type { Arena } from './arena.ts'

export interface Fault {
  name: string
  /** What is done, in words. */
  title: string
  /** Settings and variants of the processes, where the fault needs its own cluster. */
  environment?: Record<string, string>
  /** Whether every client must read its snapshot again; otherwise none may. */
  resyncs?: boolean
  /** How long it lasts in the long form, where that is not as long as the others. */
  longSeconds?: number
  /** Pause of a writer between two writes, milliseconds. Default 20. */
  writeEveryMs?: number
  /** Longest wait for the first success of every writer after the heal. Default 2 s, as for a server. */
  recoveryMs?: number
  /**
   * Disturbs until `signal` aborts, while writers write and sockets follow; everything is whole again when it
   * resolves, or earlier, when it calls `arena.healed()`. Returns the number of injected faults.
   */
  disturb(arena: Arena, signal: AbortSignal): Promise<number>
}

/** All but the first two must be 0 (`resyncs` may be asked for). */
export interface Counts {
  blows: number
  /** Acknowledged. */
  writes: number
  /** Acknowledged writes that are missing in PostgreSQL or at a follower. */
  lost: number
  repeated: number
  reordered: number
  /** Entries received without a subscription or without the right to read them. */
  leaked: number
  resyncs: number
  /** Requests without an answer for 10 s, refused sockets, processes that ended by themselves, what else is wrong. */
  failures: number
}

export interface Outcome {
  fault: Fault
  counts: Counts
  /** From the heal to the first success of every writer, and to every socket being live behind it; ms. */
  recoveryMs: { writers: number; sockets: number }
  /** Violations in words. */
  violations: string[]
  /** Figures of its own. */
  notes: string[]
}

/** Waits, but not longer than the disturbance lasts. */
export const pause = async (ms: number, signal: AbortSignal): Promise<void> => {
  if (signal.aborted) return
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, ms)
  signal.addEventListener('abort', () => resolve(), { once: true })
  await promise
  clearTimeout(timer)
}
