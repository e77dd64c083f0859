// A server kills itself at a named point: before COMMIT, after it, during or after a push, in the middle of a fan-out,
// between the pages of a replay. Then it is started with the next point.
import { createRandom } from '../../oracle/random.ts'
import { pause, type Fault } from '../fault.ts'
import { failpoints, variantEnvironment } from '../variants.ts'

const exitTimeoutMs = 10_000

export const crashPoints: Fault = {
  name: 'crash-points',
  title: 'a server is killed at each named point of a write, a push, a fan-out and a replay',
  async disturb(arena, signal) {
    const [server] = arena.cluster.servers
    const random = createRandom(arena.options.seed)
    const exits = new Map<string, number>()
    let injected = 0
    // With a failpoint it may exit at any time, also during its start.
    await arena.down(server!, async () => {
      while (!signal.aborted) {
        const point = failpoints[injected % failpoints.length]!
        const after = point === 'replay' ? 0 : random.between(5, 60)
        await arena.restart(server!, 0, {
          ...variantEnvironment('failpoints'),
          TIDE_FAILPOINT: point,
          TIDE_FAILPOINT_AFTER: String(after),
        })
        const code = await Promise.race([server!.exited, pause(exitTimeoutMs, signal)])
        if (code !== undefined) exits.set(point, (exits.get(point) ?? 0) + 1)
        injected += 1
      }
      await arena.restart(server!)
    })
    arena.notes.push([...exits].map(([point, count]) => `${point} ${count}`).join(', '))
    return injected
  },
}
