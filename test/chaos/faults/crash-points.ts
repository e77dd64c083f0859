// A server kills itself at a named point: before COMMIT, after it, with a push on its way or just over, in the middle
// of a fan-out, between the pages of a replay. Then it comes back, armed for the next one.
import { createRandom } from '../../oracle/random.ts'
import { pause, type Fault } from '../fault.ts'
import { failpoints, variantEnvironment } from '../variants.ts'

const dyingTimeoutMs = 10_000

export const crashPoints: Fault = {
  name: 'crash-points',
  title: 'a server dies at each named point of a write, a push, a fan-out and a replay',
  async disturb(arena, signal) {
    const [server] = arena.cluster.servers
    const random = createRandom(arena.options.seed)
    const deaths = new Map<string, number>()
    let blows = 0
    // Armed it may die at any moment, from its start on.
    await arena.down(server!, async () => {
      while (!signal.aborted) {
        const point = failpoints[blows % failpoints.length]!
        const after = point === 'replay' ? 0 : random.between(5, 60)
        await arena.restart(server!, 0, {
          ...variantEnvironment('failpoints'),
          TIDE_FAILPOINT: point,
          TIDE_FAILPOINT_AFTER: String(after),
        })
        const code = await Promise.race([server!.exited, pause(dyingTimeoutMs, signal)])
        if (code !== undefined) deaths.set(point, (deaths.get(point) ?? 0) + 1)
        blows += 1
      }
      await arena.restart(server!)
    })
    arena.notes.push([...deaths].map(([point, count]) => `${point} ${count}`).join(', '))
    return blows
  },
}
