// Many sockets stop reading while large changes go on: memory stays bounded, the others hear as before, and those who
// stopped catch up, or are closed with 4008 and resume, without a hole.
import { createRandom } from '../../oracle/random.ts'
import { pause, type Fault } from '../fault.ts'
import { residentBytes } from '../resident.ts'

/** 256 KiB unsent until a connection is parked, the frame that was one too many, and what the runtime keeps of both. */
const maxBytesEach = 384 * 1024
const changeBytes = 8_000
const changesPerSecond = 40

export const readersStopped: Fault = {
  name: 'readers-stopped',
  title: 'a third of the sockets stops reading',
  async disturb(arena, signal) {
    const { sockets } = arena.options
    const stalled = Math.ceil(sockets / 3)
    await using swarm = await arena.swarm(sockets)
    const pids = arena.cluster.servers.map(({ pid }) => pid)
    const total = (): number => pids.reduce((sum, pid) => sum + residentBytes(pid), 0)
    const before = total()
    let most = before
    const watch = setInterval(() => (most = Math.max(most, total())), 250)
    await swarm.tell({ do: 'pause', count: stalled })
    const random = createRandom(arena.options.seed)
    while (!signal.aborted) {
      await arena.write({ description: 'x'.repeat(changeBytes), title: `Large ${random.next()}` })
      await pause(1000 / changesPerSecond, signal)
    }
    clearInterval(watch)
    const { ages } = await swarm.report()
    await swarm.tell({ do: 'resume' })
    arena.healed()
    const { closes } = await swarm.judge()
    const each = (most - before) / stalled
    if (each > maxBytesEach) arena.violations.push(`${(each / 1024).toFixed(0)} KiB for each that stopped`)
    arena.notes.push(
      `${stalled} of ${sockets} stopped: ${(each / 1024).toFixed(0)} KiB each at most, ${closes['4008'] ?? 0} closed with 4008; the others p50 ${ages.p50} ms, p99 ${ages.p99} ms`,
    )
    return stalled
  },
}
