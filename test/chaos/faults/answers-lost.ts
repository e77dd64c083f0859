// Half of all responses to writes are lost: clients repeat the request under the same Idempotency-Key, and it takes
// effect once. A task created twice shows as one that the ledger has no acknowledgement of.
import { createRandom } from '../../oracle/random.ts'
import { Injections } from '../injections.ts'
import { pause, type Fault } from '../fault.ts'

export const answersLost: Fault = {
  name: 'answers-lost',
  title: 'every second response to a write lost, and some writes sent twice concurrently',
  async disturb(arena, signal) {
    const random = createRandom(arena.options.seed)
    const injections = new Injections(arena, ['lose', 'twice'])
    arena.api.interfere = () => {
      const choice = random.next()
      if (choice >= 0.7) return 'none'
      const kind = choice < 0.5 ? 'lose' : 'twice'
      injections.add(kind)
      return kind
    }
    await pause(1e9, signal)
    arena.api.interfere = null
    return injections.finish()
  },
}
