// A server kills itself at a named point: before COMMIT, after it, during or after a push, in the middle of a fan-out,
// between the pages of a replay. Then it is started with the next point.
import { createRandom } from '../../oracle/random.ts'
import type { Fault } from '../fault.ts'
import { killAtEach } from '../kill-at.ts'
import { failpoints } from '../variants.ts'

/** Writes and pushes pass their points with each write; fan-outs and replays depend on who is subscribed. */
const often: readonly string[] = ['uncommitted', 'committed', 'pushing', 'pushed']

export const crashPoints: Fault = {
  name: 'crash-points',
  title: 'a server is killed at each named point of a write, a push, a fan-out and a replay',
  disturb(arena, signal) {
    const random = createRandom(arena.options.seed)
    const after = (point: string): number => (often.includes(point) ? random.between(5, 60) : 0)
    return killAtEach(arena, arena.cluster.servers[0]!, failpoints, after, signal)
  },
}
