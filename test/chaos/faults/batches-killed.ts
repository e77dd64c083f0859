// A server kills itself in the middle of batches of at least two writes: after their last statement and before COMMIT, and
// after COMMIT and before the first answer. Bursts of writes keep the batches long.
import { createRandom } from '../../oracle/random.ts'
import type { Fault } from '../fault.ts'
import { killAtEach } from '../kill-at.ts'
import { batchFailpoints } from '../variants.ts'

const burst = 24

export const batchesKilled: Fault = {
  name: 'batches-killed',
  title:
    'a server is killed between the last statement of a batch and COMMIT, and between COMMIT and the answers',
  writeEveryMs: 2,
  async disturb(arena, signal) {
    const random = createRandom(arena.options.seed)
    let written = 0
    const over = new AbortController()
    const writeBursts = async (): Promise<void> => {
      while (!over.signal.aborted) {
        await Promise.all(Array.from({ length: burst }, (_, n) => arena.write({ description: `Burst ${n}` })))
        written += burst
      }
    }
    const after = (): number => random.between(2, 20)
    const killing = killAtEach(arena, arena.cluster.servers[0]!, batchFailpoints, after, signal)
    const [kills] = await Promise.all([killing.finally(() => over.abort()), writeBursts()])
    arena.notes.push(`${written} writes in bursts of ${burst}`)
    return kills
  },
}
