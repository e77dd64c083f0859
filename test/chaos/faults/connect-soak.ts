// Connections come and go by the thousand: what they leave behind is nothing.
import type { Fault } from '../fault.ts'
import { residentBytes } from '../resident.ts'

const atOnce = 100
/** Of a process, for all connections together: what the collector has not come to yet. */
const maxGrowthBytes = 48 * 1024 * 1024

export const connectSoak: Fault = {
  name: 'connect-soak',
  title: 'sockets connect, subscribe and vanish, over and over',
  async disturb(arena, signal) {
    const pids = arena.cluster.servers.map(({ pid }) => pid)
    await using swarm = await arena.swarm(0)
    const wave = async (): Promise<void> => {
      await swarm.tell({ do: 'open', count: 500, atOnce })
      await swarm.tell({ do: 'close', count: 500 })
    }
    for (let waves = 0; waves < 2; waves += 1) await wave() // warm
    const before = pids.map(residentBytes)
    let waves = 0
    for (; !signal.aborted; waves += 1) await wave()
    arena.healed()
    const growth = Math.max(...pids.map((pid, index) => residentBytes(pid) - before[index]!))
    if (growth > maxGrowthBytes)
      arena.violations.push(
        `a server grew by ${(growth / 2 ** 20).toFixed(0)} MiB over ${waves * 500} connects`,
      )
    arena.notes.push(
      `${waves * 500} connects, the largest growth of a server ${(growth / 2 ** 20).toFixed(1)} MiB`,
    )
    return waves
  },
}
