// Negative controls: the same runs on variants of the product without one mechanism. A control that is not detected
// means that the harness detects nothing, and one that the product shows as well means that the harness is wrong.
import { Arena, type ArenaOptions } from './arena.ts'
import { compared, type Comparison } from './comparison.ts'
import type { Counts, Fault } from './fault.ts'
import { answersLost } from './faults/answers-lost.ts'
import { clockOff } from './faults/clock-off.ts'
import { poisonEntry } from './faults/poison-entry.ts'
import { postgresRestarted } from './faults/postgres-restarted.ts'
import { postgresTerminated } from './faults/postgres-terminated.ts'
import { redisEmptied } from './faults/redis-emptied.ts'
import { rollingRestart } from './faults/rolling-restart.ts'
import { serverKilled } from './faults/server-killed.ts'
import { smtpFailing } from './faults/smtp-failing.ts'
import { workerKilled } from './faults/worker-killed.ts'
import { variantEnvironment } from './variants.ts'

type Amount = 'injected' | 'writes' | 'notified' | 'exact' | 'skipped' | 'effects' | 'mails'

export interface Control {
  /** The name of a variant in `variants.ts`. */
  variant: string
  fault: Fault
  /** The count that must be above 0, and 0 in the same run of the product. */
  detectedBy: Exclude<keyof Counts, Amount>
  /** How the arena differs. */
  arena?: Partial<ArenaOptions>
}

const noFault: Fault = {
  name: 'no-fault',
  title: 'no fault',
  injectsNothing: true,
  async disturb(_arena, signal) {
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
    return 0
  },
}

/** With enough writes in flight that each kill meets some between their answers and COMMIT. */
const busyServerKilled: Fault = { ...serverKilled, writeEveryMs: 2 }

const acting: Partial<ArenaOptions> = { acts: { lanes: 3, everyMs: 60 } }

/** A mail may have to wait for the end of a connection that the server has left. */
const mailing: Partial<ArenaOptions> = { ...acting, sendsMails: true, timeoutMs: 20_000 }

export const controls: Record<string, Control[]> = {
  realtime: [
    { variant: 'lock-off', fault: noFault, detectedBy: 'lost' },
    { variant: 'contiguity-unchecked', fault: redisEmptied, detectedBy: 'lost' },
    { variant: 'cursor-ignored', fault: serverKilled, detectedBy: 'lost' },
    { variant: 'batch-answered-early', fault: busyServerKilled, detectedBy: 'lost' },
    { variant: 'scope-unchecked', fault: noFault, detectedBy: 'leaked' },
    { variant: 'rejection-unhandled', fault: noFault, detectedBy: 'exits' },
    { variant: 'publishers-stopped', fault: redisEmptied, detectedBy: 'streams' },
    { variant: 'cursor-entry-repeated', fault: noFault, detectedBy: 'repeated' },
    { variant: 'frames-reversed', fault: noFault, detectedBy: 'reordered' },
    { variant: 'claim-ignored', fault: answersLost, detectedBy: 'lost' },
    { variant: 'internals-shown', fault: postgresTerminated, detectedBy: 'leaking' },
    { variant: 'answers-forgotten', fault: noFault, detectedBy: 'hung' },
    { variant: 'reconnected-late', fault: postgresRestarted, detectedBy: 'late' },
    { variant: 'lock-off', fault: noFault, detectedBy: 'gaps' },
    { variant: 'due-by-own-clock', fault: clockOff, detectedBy: 'twice', arena: acting },
    { variant: 'drain-undelayed', fault: rollingRestart, detectedBy: 'refused', arena: { sockets: 100 } },
  ],
  worker: [
    { variant: 'position-apart', fault: workerKilled, detectedBy: 'drift', arena: acting },
    { variant: 'notified-twice', fault: noFault, detectedBy: 'twice', arena: acting },
    { variant: 'activity-twice', fault: noFault, detectedBy: 'effectsRepeated', arena: acting },
    {
      variant: 'mail-sent-twice',
      fault: noFault,
      detectedBy: 'mailsRepeated',
      arena: mailing,
    },
    { variant: 'poison-retried', fault: poisonEntry, detectedBy: 'missing', arena: acting },
    {
      variant: 'mail-done-first',
      fault: smtpFailing,
      detectedBy: 'mailsMissing',
      arena: mailing,
    },
  ],
}

/** A fault meets the removed mechanism by chance: a variant is missed where none of this many runs shows it. */
const maxRuns = 3

/** Runs the variant of a control. @returns the count that shows its defect. */
export const countVariant = async (control: Control, seed: number, seconds: number): Promise<number> => {
  let count = 0
  for (let run = 0; run < maxRuns && count === 0; run += 1) {
    const counts = await runOnce(control, seed + run, seconds, variantEnvironment(control.variant))
    count = counts[control.detectedBy]
  }
  return count
}

/** The runs of controls on the product itself, each once for all controls that share it. */
export class Baselines {
  readonly #counts = new Map<Fault, Map<string, Counts>>()

  async of(control: Control, seed: number, seconds: number): Promise<Counts> {
    const { fault, arena } = control
    const own = this.#counts.get(fault) ?? new Map<string, Counts>()
    this.#counts.set(fault, own)
    const key = JSON.stringify([arena, seed, seconds])
    const counts = own.get(key) ?? (await runOnce(control, seed, seconds, {}))
    own.set(key, counts)
    return counts
  }
}

export const compareControl = (
  control: Control,
  baselines: Baselines,
  seed: number,
  seconds: number,
): Promise<Comparison> =>
  compared(
    () => countVariant(control, seed, seconds),
    async () => (await baselines.of(control, seed, seconds))[control.detectedBy],
  )

/**
 * Longest time in which views of a variant may receive nothing before they count as behind. Recovery has its own, longer
 * limits.
 */
const settleMs = 4_000

/** On a small cluster of its own. */
const runOnce = async (
  { fault, arena: differences }: Control,
  seed: number,
  seconds: number,
  environment: Record<string, string>,
): Promise<Counts> => {
  await using arena = await Arena.open({
    seed,
    servers: 2,
    workers: 1,
    projects: 4,
    followers: 8,
    sockets: 0,
    timeoutMs: settleMs,
    environment: { ...fault.environment, ...environment },
    report: () => {},
    ...differences,
  })
  const { counts } = await arena.run(fault, seconds)
  return counts
}
