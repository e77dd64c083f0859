// Clients whose answers get lost on the way, half of all: they repeat the request under the same Idempotency-Key, and it
// happened once. The ledger knows what was acknowledged; a task made twice would be one that never was.
import { createRandom } from '../../oracle/random.ts'
import { pause, type Fault } from '../fault.ts'

export const answersLost: Fault = {
  name: 'answers-lost',
  title: 'every second answer to a client lost, and some requests sent twice at once',
  async disturb(arena, signal) {
    const random = createRandom(arena.options.seed)
    const before = arena.api.counts.retries
    arena.api.interfere = () => {
      const dice = random.next()
      return dice < 0.5 ? 'lose' : dice < 0.7 ? 'twice' : 'none'
    }
    await pause(1e9, signal)
    arena.api.interfere = null
    return arena.api.counts.retries - before
  },
}
