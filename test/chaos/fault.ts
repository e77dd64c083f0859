// The interface of a fault and the counts of its run. Each fault is a file in `faults/`; `suites.ts` lists them.
import type { Report } from '../consistency/report.ts'
import type { ClusterOptions } from '../support/cluster.ts'
import type { Arena } from './arena.ts'

export interface Fault {
  name: string
  /** What the fault does, for reports: with the figures of the short form. */
  title: string
  /** What it does in the long form, where that differs. */
  longTitle?: string
  /** Settings and variants of the processes; the fault then runs on its own cluster. */
  environment?: Record<string, string>
  /** How the cluster differs; the fault then runs on its own. */
  cluster?: Pick<ClusterOptions, 'databaseBytes' | 'isRedisAppendOnly'>
  /** Whether a balancer keeps requests from servers that are not ready: none may be refused then. */
  isBalanced?: boolean
  /** Acts also create tasks that are due so much later, milliseconds: they must not be overdue yet. Longer than the run. */
  dueLaterMs?: number
  /** Whether every client must read its snapshot again; otherwise none may. */
  resyncs?: boolean
  /** A run without a fault. Any other must inject one. */
  injectsNothing?: boolean
  /** Duration in the long form, if not the usual one. */
  longSeconds?: number
  /** Pause of a writer between two writes, milliseconds. Default 20. */
  writeEveryMs?: number
  /** Where they are not `recoveryLimitsMs`. */
  recoveryMs?: Partial<Recovery>
  /** Why the fault cannot be injected on this machine; null where it can. */
  impossible?(): string | null
  /**
   * Injects faults until `signal` aborts, while writers write and sockets follow. The fault has ended when the promise
   * resolves, or earlier, at its last call of `arena.healed()`. Returns the number of injected faults.
   */
  disturb(arena: Arena, signal: AbortSignal): Promise<number>
}

/**
 * Amounts, which must be above 0 (`mails` where workers send them; `skipped` may be anything), and findings, which must be
 * 0 (`resyncs` too, unless the fault requires them).
 */
export interface Counts {
  injected: number
  /** Acknowledged. */
  writes: number
  /** Acknowledged writes that are missing in PostgreSQL or at a follower. */
  lost: number
  repeated: number
  reordered: number
  /** Entries received without a subscription or without the right to read them. */
  leaked: number
  resyncs: number
  /** Notifications that were due once, and those that are missing or there twice, in the inbox or the log. */
  notified: number
  missing: number
  twice: number
  /**
   * Comparisons of a project's counters, with the entries not counted yet, with its rows at a snapshot: those that agreed,
   * those that had too many entries to count, and those that differed.
   */
  exact: number
  skipped: number
  drift: number
  /** Activity and announcements of profiles that were due once, and those that are missing or there twice. */
  effects: number
  effectsMissing: number
  effectsRepeated: number
  /** Mails sent, notices without one, and repeats beyond the allowed: one a kill or lost answer. */
  mails: number
  mailsMissing: number
  mailsRepeated: number
  /** Requests without an answer for 10 s. */
  hung: number
  /** Of a balanced fault: requests to a port that was closed. */
  refused: number
  /** Answers with 5xx that name internals. */
  leaking: number
  /** Of writers, sockets and workers those that took longer to recover than they may. */
  late: number
  /** Shards of the log in PostgreSQL that do not hold each number up to their head once. */
  gaps: number
  /** Streams of the log in Redis that are empty, have a gap, or do not end at the head of their shard. */
  streams: number
  /** Unexpected exits and errors that nothing caught. */
  exits: number
  /** Violations, of any kind. */
  failures: number
}

export interface Recovery {
  writers: number
  sockets: number
  worker: number
}

/** Longest times to recovery where a fault names no other. */
export const recoveryLimitsMs: Recovery = { writers: 2_000, sockets: 10_000, worker: 15_000 }

export interface Outcome {
  fault: Fault
  counts: Counts
  /**
   * Milliseconds from the end of the fault to the first success of every writer, until every socket received it, and to
   * the first notification of a later cause.
   */
  recoveryMs: Recovery
  /** Descriptions of violations. */
  violations: string[]
  /** Further figures of the fault. */
  notes: string[]
  /** Of the history of all clients; its violations are among the others. */
  consistency: Report
}

/** What the fault does in this form. */
export const titleOf = (
  { title, longTitle = title }: Pick<Fault, 'title' | 'longTitle'>,
  isLong: boolean,
): string => (isLong ? longTitle : title)

/** Resolves after `ms`, or when the signal aborts. */
export const pause = async (ms: number, signal: AbortSignal): Promise<void> => {
  if (signal.aborted) return
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, ms)
  signal.addEventListener('abort', () => resolve(), { once: true })
  await promise
  clearTimeout(timer)
}
