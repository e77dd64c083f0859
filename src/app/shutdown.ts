// Every deadline of a stop, innermost first, each outer one derived from those inside it; and the stop itself.
// Invariant: what is inside gives up before what is outside cuts it off, so no supervisor has to kill an orderly stop.
import { settledWithin } from '../async/timeout.ts'
import { messageOf } from '../errors.ts'
import type { Log } from '../log.ts'

/** DRAIN_DELAY and the closing of sockets together. */
const drainDeadlineMs = 26_000
/** For HTTP requests in flight once the sockets are closed; the rest is cut. */
export const requestsDeadlineMs = 3_000
/** For what the server is built on: publisher, Redis connections, database pools. */
const partsDeadlineMs = 1_000
/** A role ends its own process after this: 30 s. */
const roleDeadlineMs = drainDeadlineMs + requestsDeadlineMs + partsDeadlineMs
/** For a process to notice the deadline of what it contains. */
const marginMs = 2_000
/** A parent kills a server process after this: 32 s. */
export const childDeadlineMs = roleDeadlineMs + marginMs
/** A parent ends its own process after this: 34 s. */
const parentDeadlineMs = childDeadlineMs + marginMs
/** Whatever started a role may kill it after this: 36 s. */
export const supervisorDeadlineMs = parentDeadlineMs + marginMs

/** What is left for closing sockets after the delay of a drain. */
export const socketsDeadlineMs = (drainDelayMs: number): number => drainDeadlineMs - drainDelayMs

export interface Stoppable extends AsyncDisposable {
  /** Of a parent of server processes: rejects when it cannot keep them alive. */
  failed?: Promise<never>
}

/** Why a role stops: a signal, or its parent is gone. */
export type StopReason = NodeJS.Signals | 'orphaned'

/**
 * Resolves with `orphaned` or the first SIGINT or SIGTERM, neither of which ends the process from now on: as process 1 of a
 * container it would ignore those without a handler.
 */
export const stopAsked = (orphaned: Promise<'orphaned'>): Promise<StopReason> => {
  const signalled = Promise.withResolvers<StopReason>()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => signalled.resolve(signal))
  return Promise.race([signalled.promise, orphaned])
}

/**
 * Waits for the start of the role. Returns null where `asked` resolves first: no client is connected yet, so a start that
 * takes longer than `requestsDeadlineMs` ends with the process. Rejects where the start fails.
 */
export const openUnlessAsked = async <T extends Stoppable>(
  role: string,
  opening: Promise<T>,
  asked: Promise<StopReason>,
  log: Log,
): Promise<T | null> => {
  const reason = await Promise.race([opening.then(() => null), asked])
  if (reason === null) return await opening
  log.info({ reason }, `${role} is stopping before it was ready`)
  const stopped = opening.then(
    (running) => running[Symbol.asyncDispose](),
    (error: unknown) => log.warn({ cause: messageOf(error) }, `${role} would not have started`),
  )
  await settledWithin(requestsDeadlineMs, stopped)
  return null
}

/**
 * Waits until `asked` resolves or the role fails, then stops it. Resolves with the exit code; past the deadline the process
 * exits with 1.
 */
export const stopWhenAsked = async (
  role: string,
  running: Stoppable,
  asked: Promise<StopReason>,
  log: Log,
): Promise<0 | 1> => {
  const failed = running.failed?.catch((error: unknown) => {
    log.error({ err: error }, `${role} failed and stops`)
    return 'failed' as const
  })
  const reason = await Promise.race([asked, ...(failed ? [failed] : [])])
  log.info({ reason }, `${role} is stopping`)
  const late = setTimeout(
    () => {
      log.error(`${role} did not stop in time`)
      process.exit(1)
    },
    running.failed ? parentDeadlineMs : roleDeadlineMs,
  )
  await running[Symbol.asyncDispose]()
  clearTimeout(late)
  return reason === 'failed' ? 1 : 0
}
