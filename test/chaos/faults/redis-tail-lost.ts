// Redis is killed and loses the end of its append-only file, as after a power cut with `appendfsync everysec`: streams end
// before the log and must be continued without a gap.
import { readdir, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { createRandom } from '../../oracle/random.ts'
import { pause, type Fault } from '../fault.ts'

const maxLostBytes = 64 * 1024

export const redisTailLost: Fault = {
  name: 'redis-tail-lost',
  title: 'kill -9 of Redis, which loses up to 64 KiB of its append-only file',
  cluster: { isRedisAppendOnly: true },
  async disturb(arena, signal) {
    const { redis, dataDir } = arena.cluster
    const folder = join(dataDir, 'redis', 'appendonlydir')
    const random = createRandom(arena.options.seed)
    let injected = 0
    let lostBytes = 0
    while (!signal.aborted) {
      await redis.kill()
      const file = (await readdir(folder)).findLast((name) => name.endsWith('.incr.aof'))!
      const { size } = await stat(join(folder, file))
      const lost = Math.min(size, random.between(1, maxLostBytes))
      await truncate(join(folder, file), size - lost)
      lostBytes += lost
      await redis.start()
      arena.healed()
      injected += 1
      await pause(1_000, signal)
    }
    if (lostBytes === 0) arena.violations.push('the append-only file lost nothing')
    arena.notes.push(`${lostBytes} bytes of the append-only file lost`)
    return injected
  },
}
