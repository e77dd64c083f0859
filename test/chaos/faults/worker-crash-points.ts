// A worker kills itself at a named point: of a consumer before and after its effects and its COMMIT, of the loop of due
// times, of the dispatcher of jobs, of an attempt. Then it is started with the next point.
import { createRandom } from '../../oracle/random.ts'
import { pause, type Fault } from '../fault.ts'
import { dueFailpoints, jobFailpoints, variantEnvironment, workerFailpoints } from '../variants.ts'

const points = [...workerFailpoints, ...dueFailpoints, ...jobFailpoints]
const reachMs = 6_000

export const workerCrashPoints: Fault = {
  name: 'worker-crash-points',
  title: 'a worker is killed at each named point of consumers, due times and jobs',
  async disturb(arena, signal) {
    const [worker] = arena.cluster.workers
    const random = createRandom(arena.options.seed)
    const exits = new Map<string, number>()
    let injected = 0
    await arena.down(worker!, async () => {
      while (!signal.aborted || injected < points.length) {
        const point = points[injected % points.length]!
        const after = random.between(0, 5)
        await arena.restart(worker!, 0, {
          ...variantEnvironment('failpoints'),
          TIDE_FAILPOINT: point,
          TIDE_FAILPOINT_AFTER: String(after),
        })
        const code = await Promise.race([worker!.exited, pause(reachMs, AbortSignal.timeout(reachMs))])
        if (code !== undefined) exits.set(point, (exits.get(point) ?? 0) + 1)
        injected += 1
      }
      await arena.restart(worker!)
    })
    arena.notes.push([...exits].map(([point, count]) => `${point} ${count}`).join(', '))
    return injected
  },
}
