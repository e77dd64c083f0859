// Every deadline of a stop, innermost first, each outer one derived from those inside it; and the stop itself.
// Invariant: what is inside gives up before what is outside cuts it off, so no supervisor has to kill an orderly stop.
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

/**
 * Waits for SIGINT, SIGTERM, `orphaned` or a failure, then stops the role. Resolves with the exit code; past the deadline
 * the process exits with 1.
 */
export const stopWhenAsked = async (
  role: string,
  running: Stoppable,
  orphaned: Promise<'orphaned'>,
  log: Log,
): Promise<0 | 1> => {
  const signalled = Promise.withResolvers<NodeJS.Signals>()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => signalled.resolve(signal))
  const failed = running.failed?.catch((error: unknown) => {
    log.error({ err: error }, `${role} failed and stops`)
    return 'failed' as const
  })
  const reason = await Promise.race([signalled.promise, orphaned, ...(failed ? [failed] : [])])
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
