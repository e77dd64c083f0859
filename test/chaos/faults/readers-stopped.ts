// Many sockets stop reading during large changes: memory stays bounded and the others receive events without delay. Half
// of them resume reading in time and catch up; the rest are closed with 4008 and resume. No socket misses an entry.
import type { Cluster } from '../../support/cluster.ts'
import { pause, type Fault } from '../fault.ts'
import { residentBytes } from '../resident.ts'

/** A connection is parked at 256 KiB unsent, and a buffer grows by doubling. */
const maxBytesEach = 512 * 1024
/** Enough to fill the kernel's buffer of a connection and the server's. */
const changes = 400
const changesAtOnce = 8
const changeBytes = 9_900
/** A connection may be parked for 30 s, checked every second; after 60 s without a ping it is dropped without a close frame. */
const pastParkedMs = 33_000
/** The p99 of the others: at most this, or three times what it was while all were reading, on a machine slower than that. */
const maxOthersP99Ms = 500
const calmChanges = 80

export const readersStopped: Fault = {
  name: 'readers-stopped',
  title: 'a thousand sockets stop reading, half of them beyond the limit; one in six continues',
  async disturb(arena) {
    const stopped = Math.min(1_000, arena.options.sockets)
    await using swarm = await arena.swarm(Math.ceil(stopped * 1.2), 1)
    const pids = arena.cluster.servers.map(({ pid }) => pid)
    const total = (): number => pids.reduce((sum, pid) => sum + residentBytes(pid), 0)
    const before = total()
    let most = before
    const watch = setInterval(() => (most = Math.max(most, total())), 250)
    const timeout = AbortSignal.timeout(120_000)
    const write = async (count: number): Promise<void> => {
      const change = (): Promise<unknown> => arena.write({ description: 'x'.repeat(changeBytes) })
      for (let written = 0; written < count; written += changesAtOnce)
        await Promise.all(Array.from({ length: changesAtOnce }, change))
    }
    const metricsBefore = await slowConsumers(arena.cluster)
    await write(calmChanges)
    const { ages: calm } = await swarm.report()
    await swarm.execute({ do: 'forget' })
    await swarm.execute({ do: 'pause', count: stopped })
    await write(changes)
    clearInterval(watch)
    await swarm.execute({ do: 'resume', count: stopped / 2 })
    await pause(pastParkedMs, timeout)
    const { ages } = await swarm.report()
    await swarm.execute({ do: 'resume' })
    arena.healed()
    const { closes } = await swarm.check()
    // As the servers count them: the close frame to a socket with full buffers may be lost.
    const { parked, dropped } = await slowConsumers(arena.cluster)
    const closed = dropped - metricsBefore.dropped
    const each = (most - before) / stopped
    if (each > maxBytesEach) arena.violations.push(`${(each / 1024).toFixed(0)} KiB for each that stopped`)
    if (closed === 0) arena.violations.push('no server closed a socket for not reading')
    if (closed > stopped / 2)
      arena.violations.push(`${closed} were closed, more than stopped beyond the limit`)
    if (ages.p99 > Math.max(maxOthersP99Ms, 3 * calm.p99))
      arena.violations.push(`the others received events ${ages.p99} ms late (p99), ${calm.p99} before`)
    arena.notes.push(
      `${stopped} stopped: ${(each / 1024).toFixed(0)} KiB each at most, ${parked - metricsBefore.parked} times one was parked, ${closed} were closed for not reading, closes ${JSON.stringify(closes)}; the others p50 ${ages.p50} ms, p99 ${ages.p99} ms, ${calm.p99} ms while all were reading`,
    )
    return stopped
  },
}

const maxScrapeMs = 5_000

/** Of all servers since their start: connections that were parked, and those that were closed as slow consumers. */
const slowConsumers = async ({
  servers,
}: Pick<Cluster, 'servers'>): Promise<{ parked: number; dropped: number }> => {
  const texts = await Promise.all(
    servers.map(async ({ url }) => {
      const response = await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(maxScrapeMs) })
      return response.text()
    }),
  )
  const sum = (series: RegExp): number =>
    texts.reduce((total, text) => {
      const value = series.exec(text)?.[1]
      if (value === undefined) throw new Error(`/metrics has no ${series.source}`)
      return total + Number(value)
    }, 0)
  return {
    parked: sum(/^tasktide_sockets_parked_total (\d+)/m),
    dropped: sum(/^tasktide_sockets_dropped_total\{reason="slow_consumer"\} (\d+)/m),
  }
}
