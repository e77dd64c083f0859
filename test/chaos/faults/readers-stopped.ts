// Many sockets stop reading while large changes go on: memory stays bounded, the others hear as before, and those who
// stopped catch up, or are closed with 4008 and resume, without a hole.
import { pause, type Fault } from '../fault.ts'
import { residentBytes } from '../resident.ts'

/** A connection is parked at 256 KiB unsent, and a buffer grows by doubling. */
const maxBytesEach = 512 * 1024
/** Enough to fill what the kernel takes for a connection, and the buffer behind it. */
const changes = 400
const changeBytes = 9_900
const everyMs = 30

export const readersStopped: Fault = {
  name: 'readers-stopped',
  title: 'a thousand sockets stop reading, one in six goes on',
  async disturb(arena, signal) {
    const stopped = Math.min(1_000, arena.options.sockets)
    await using swarm = await arena.swarm(Math.ceil(stopped * 1.2), 1)
    const pids = arena.cluster.servers.map(({ pid }) => pid)
    const total = (): number => pids.reduce((sum, pid) => sum + residentBytes(pid), 0)
    const before = total()
    let most = before
    const watch = setInterval(() => (most = Math.max(most, total())), 250)
    await swarm.tell({ do: 'pause', count: stopped })
    const patience = AbortSignal.timeout(60_000)
    for (let change = 0; change < changes; change += 1) {
      await arena.write({ description: 'x'.repeat(changeBytes) })
      await pause(everyMs, patience)
    }
    await pause(1e9, signal)
    clearInterval(watch)
    const { ages } = await swarm.report()
    await swarm.tell({ do: 'resume' })
    arena.healed()
    const { closes } = await swarm.judge()
    const each = (most - before) / stopped
    if (each > maxBytesEach) arena.violations.push(`${(each / 1024).toFixed(0)} KiB for each that stopped`)
    arena.notes.push(
      `${stopped} stopped: ${(each / 1024).toFixed(0)} KiB each at most, ${closes['4008'] ?? 0} closed with 4008; the others p50 ${ages.p50} ms, p99 ${ages.p99} ms`,
    )
    return stopped
  },
}
