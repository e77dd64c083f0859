// Negative controls: the same runs on variants of the product without one mechanism. A control that is not detected
// means that the harness detects nothing.
import { Arena, type ArenaOptions } from './arena.ts'
import type { Counts, Fault } from './fault.ts'
import { answersLost } from './faults/answers-lost.ts'
import { clockOff } from './faults/clock-off.ts'
import { poisonEntry } from './faults/poison-entry.ts'
import { postgresRestarted } from './faults/postgres-restarted.ts'
import { postgresTerminated, terminateBackends } from './faults/postgres-terminated.ts'
import { redisEmptied } from './faults/redis-emptied.ts'
import { rollingRestart } from './faults/rolling-restart.ts'
import { serverKilled } from './faults/server-killed.ts'
import { smtpFailing } from './faults/smtp-failing.ts'
import { workerKilled } from './faults/worker-killed.ts'
import { variantEnvironment } from './variants.ts'

export interface Control {
  /** The name of a variant in `variants.ts`. */
  variant: string
  fault: Fault
  /** The count that must be above 0. */
  detectedBy: Exclude<keyof Counts, 'injected' | 'writes' | 'notified' | 'mails'>
  /** How the arena differs. */
  arena?: Partial<ArenaOptions>
}

const noFault: Fault = {
  name: 'no-fault',
  title: 'no fault',
  async disturb(_arena, signal) {
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
    return 0
  },
}

/** With enough writes in flight that each kill meets some between their answers and COMMIT. */
const busyServerKilled: Fault = { ...serverKilled, writeEveryMs: 2 }

/** More queries and terminations, of which one has to meet a write that is queued. */
const busyTerminated: Fault = {
  ...postgresTerminated,
  title: 'all backends of PostgreSQL terminated every 100 ms',
  writeEveryMs: 2,
  disturb: terminateBackends(100),
}

const acting: Partial<ArenaOptions> = { acts: { lanes: 3, everyMs: 60 } }

export const controls: Record<string, Control[]> = {
  realtime: [
    { variant: 'lock-off', fault: noFault, detectedBy: 'lost' },
    { variant: 'contiguity-unchecked', fault: redisEmptied, detectedBy: 'lost' },
    { variant: 'cursor-ignored', fault: serverKilled, detectedBy: 'lost' },
    { variant: 'batch-answered-early', fault: busyServerKilled, detectedBy: 'lost' },
    { variant: 'scope-unchecked', fault: noFault, detectedBy: 'leaked' },
    { variant: 'driver-unpatched', fault: busyTerminated, detectedBy: 'failures' },
    { variant: 'cursor-entry-repeated', fault: noFault, detectedBy: 'repeated' },
    { variant: 'frames-reversed', fault: noFault, detectedBy: 'reordered' },
    { variant: 'claim-ignored', fault: answersLost, detectedBy: 'lost' },
    { variant: 'internals-shown', fault: postgresTerminated, detectedBy: 'leaking' },
    { variant: 'answers-forgotten', fault: noFault, detectedBy: 'hung' },
    { variant: 'reconnected-late', fault: postgresRestarted, detectedBy: 'late' },
    { variant: 'due-by-own-clock', fault: clockOff, detectedBy: 'twice', arena: acting },
    { variant: 'drain-undelayed', fault: rollingRestart, detectedBy: 'refused', arena: { sockets: 100 } },
  ],
  worker: [
    { variant: 'position-apart', fault: workerKilled, detectedBy: 'drift', arena: acting },
    { variant: 'notified-twice', fault: noFault, detectedBy: 'twice', arena: acting },
    {
      variant: 'mail-sent-twice',
      fault: noFault,
      detectedBy: 'mailsRepeated',
      arena: { ...acting, sendsMails: true },
    },
    { variant: 'poison-retried', fault: poisonEntry, detectedBy: 'missing', arena: acting },
    {
      variant: 'mail-done-first',
      fault: smtpFailing,
      detectedBy: 'mailsMissing',
      arena: { ...acting, sendsMails: true },
    },
  ],
}

export interface ControlResult {
  control: Control
  counts: Counts
  isDetected: boolean
}

/** A fault meets the removed mechanism by chance: a variant is missed where none of this many runs shows it. */
const maxRuns = 3

export const runControl = async (control: Control, seed: number, seconds: number): Promise<ControlResult> => {
  let result = await runOnce(control, seed, seconds)
  for (let run = 1; run < maxRuns && !result.isDetected; run += 1)
    result = await runOnce(control, seed + run, seconds)
  return result
}

/** On a small cluster of its own. */
const runOnce = async (control: Control, seed: number, seconds: number): Promise<ControlResult> => {
  await using arena = await Arena.open({
    seed,
    servers: 2,
    workers: 1,
    projects: 4,
    followers: 8,
    sockets: 0,
    timeoutMs: 2_000,
    environment: { ...control.fault.environment, ...variantEnvironment(control.variant) },
    report: () => {},
    ...control.arena,
  })
  const { counts } = await arena.run(control.fault, seconds)
  return { control, counts, isDetected: counts[control.detectedBy] > 0 }
}
