// Negative controls: the same runs on a product that lacks what makes it right. One that is not caught means that the
// harness sees nothing.
import { Arena } from './arena.ts'
import type { Counts, Fault } from './fault.ts'
import { redisEmptied } from './faults/redis-emptied.ts'
import { serverKilled } from './faults/server-killed.ts'
import { variantEnvironment } from './variants.ts'

export interface Control {
  /** Of `variants.ts`. */
  variant: string
  fault: Fault
  /** Where it must show. */
  shows: keyof Counts & ('lost' | 'repeated' | 'reordered' | 'leaked')
}

const calm: Fault = {
  name: 'calm',
  title: 'nothing happens',
  async disturb(_arena, signal) {
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
    return 0
  },
}

export const controls: Record<string, Control[]> = {
  realtime: [
    { variant: 'lock-off', fault: calm, shows: 'lost' },
    { variant: 'contiguity-unchecked', fault: redisEmptied, shows: 'lost' },
    { variant: 'cursor-ignored', fault: serverKilled, shows: 'lost' },
    { variant: 'scope-unchecked', fault: calm, shows: 'leaked' },
  ],
}

export interface Verdict {
  control: Control
  counts: Counts
  isCaught: boolean
}

/** Runs it on a small cluster of its own. */
export const judgeControl = async (control: Control, seed: number, seconds: number): Promise<Verdict> => {
  await using arena = await Arena.open({
    seed,
    servers: 2,
    workers: 1,
    projects: 4,
    followers: 8,
    sockets: 0,
    patienceMs: 2_000,
    environment: variantEnvironment(control.variant),
    report: () => {},
  })
  const { counts } = await arena.run(control.fault, seconds)
  return { control, counts, isCaught: counts[control.shows] > 0 }
}
