// Half of all responses to clients are lost: clients repeat the request under the same Idempotency-Key, and it takes
// effect once. A task created twice shows as one that the ledger has no acknowledgement of.
import { createRandom } from '../../oracle/random.ts'
import { pause, type Fault } from '../fault.ts'

export const answersLost: Fault = {
  name: 'answers-lost',
  title: 'every second response to a client lost, and some requests sent twice concurrently',
  async disturb(arena, signal) {
    const random = createRandom(arena.options.seed)
    const before = arena.api.counts.retries
    arena.api.interfere = () => {
      const choice = random.next()
      return choice < 0.5 ? 'lose' : choice < 0.7 ? 'twice' : 'none'
    }
    await pause(1e9, signal)
    arena.api.interfere = null
    return arena.api.counts.retries - before
  },
}
