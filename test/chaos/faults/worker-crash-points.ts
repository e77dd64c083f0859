// A worker kills itself at a named point: of a consumer before and after its effects and its COMMIT, of the loop of due
// times, of the dispatcher of jobs, of an attempt. Then it is started with the next point.
import { createRandom } from '../../oracle/random.ts'
import type { Fault } from '../fault.ts'
import { killAtEach } from '../kill-at.ts'
import { dueFailpoints, jobFailpoints, workerFailpoints } from '../variants.ts'

const points = [...workerFailpoints, ...dueFailpoints, ...jobFailpoints]

export const workerCrashPoints: Fault = {
  name: 'worker-crash-points',
  title: 'a worker is killed at each named point of consumers, due times and jobs',
  disturb(arena, signal) {
    const random = createRandom(arena.options.seed)
    return killAtEach(arena, arena.cluster.workers[0]!, points, () => random.between(0, 5), signal)
  },
}
