// A server kills itself in the middle of batches of writes: after their last statement and before COMMIT, and after COMMIT
// and before the first answer. Bursts of writes keep the batches long.
import { createRandom } from '../../oracle/random.ts'
import { pause, type Fault } from '../fault.ts'
import { variantEnvironment } from '../variants.ts'

const exitTimeoutMs = 10_000
const burst = 24
const points = ['uncommitted', 'committed'] as const

export const batchesKilled: Fault = {
  name: 'batches-killed',
  title:
    'a server is killed between the last statement of a batch and COMMIT, and between COMMIT and the answers',
  writeEveryMs: 2,
  async disturb(arena, signal) {
    const [server] = arena.cluster.servers
    const random = createRandom(arena.options.seed)
    const exits = new Map<string, number>()
    let injected = 0
    let written = 0
    const writeBursts = async (): Promise<void> => {
      while (!signal.aborted) {
        await Promise.all(Array.from({ length: burst }, (_, n) => arena.write({ description: `Burst ${n}` })))
        written += burst
      }
    }
    const bursts = writeBursts()
    await arena.down(server!, async () => {
      while (!signal.aborted) {
        const point = points[injected % points.length]!
        await arena.restart(server!, 0, {
          ...variantEnvironment('failpoints'),
          TIDE_FAILPOINT: point,
          TIDE_FAILPOINT_AFTER: String(random.between(2, 20)),
        })
        const code = await Promise.race([server!.exited, pause(exitTimeoutMs, signal)])
        if (code !== undefined) exits.set(point, (exits.get(point) ?? 0) + 1)
        injected += 1
      }
      await arena.restart(server!)
    })
    await bursts
    const counted = [...exits].map(([point, count]) => `${point} ${count}`)
    arena.notes.push([...counted, `${written} writes in bursts of ${burst}`].join(', '))
    return injected
  },
}
