// Very many connections open and close: no server may keep resources of them. Each server's resources are counted, and its
// heap is measured after a garbage collection, after the first of them and at the end.
import { withTimeout } from '../../../src/async/timeout.ts'
import { eventually } from '../../support/eventually.ts'
import { variantEnvironment } from '../variants.ts'
import type { Fault } from '../fault.ts'
import { inspect, type Inspection } from '../inspection.ts'

const wave = 1_000
/** Before the first measurement, and between that and the last. */
const waves = { short: { warm: 15, measured: 10 }, long: { warm: 10, measured: 90 } }
/** For a thousand connects: measured are 1 to 2 s. */
const waveMs = 60_000
/** Concurrent handshakes of all servers together; a server refuses more than 200. */
const atOnce = 150
/** Allowed growth of the heap and of resident memory, in bytes. */
const maxHeapGrowth = 4 * 2 ** 20
const maxResidentGrowth = 24 * 2 ** 20

export const connectSoak: Fault = {
  name: 'connect-soak',
  title: 'twenty-five thousand sockets connect, subscribe, watch and close',
  longTitle: 'a hundred thousand sockets connect, subscribe, watch and close',
  environment: variantEnvironment('inspected'),
  longSeconds: 600,
  writeEveryMs: 400,
  async disturb(arena) {
    const { servers } = arena.cluster
    await using swarm = await arena.swarm(0, arena.options.projects, true)
    /** By number: less would measure less than the title says. Rejects where a wave does not become live in time. */
    const connectWaves = async (count: number): Promise<void> => {
      for (let done = 0; done < count; done += 1) {
        await withTimeout(waveMs, 'a wave', swarm.execute({ do: 'open', count: wave, atOnce }))
        await withTimeout(waveMs, 'a wave', swarm.execute({ do: 'close', count: wave }))
      }
    }
    const { warm, measured } = arena.options.isLong ? waves.long : waves.short
    const measure = async (): Promise<Inspection[]> => {
      let last: Inspection[] = []
      await eventually(
        async () => {
          last = await Promise.all(servers.map(inspect))
          if (last.some(({ sockets }) => sockets > arena.options.followers))
            throw new Error('not all sockets are closed')
        },
        { timeoutMs: 20_000, everyMs: 500 },
      )
      return last
    }
    await connectWaves(warm)
    const before = await measure()
    const beganAt = performance.now()
    await connectWaves(measured)
    const seconds = (performance.now() - beganAt) / 1_000
    arena.healed()
    const after = await measure()
    // Only the followers of the run are left, with two scopes each at most.
    const leftScopes = Math.max(...after.map(({ scopes }) => scopes))
    const leftRooms = Math.max(...after.map(({ rooms }) => rooms))
    if (leftScopes > arena.options.followers * 2 || leftRooms > 0)
      arena.violations.push(`${leftScopes} scopes and ${leftRooms} rooms are left in a server`)
    const heap = growth(before, after, ({ heapBytes }) => heapBytes)
    const resident = growth(before, after, ({ residentBytes }) => residentBytes)
    if (heap > maxHeapGrowth) arena.violations.push(`a heap grew by ${mebibytes(heap)}`)
    if (resident > maxResidentGrowth) arena.violations.push(`a server grew by ${mebibytes(resident)}`)
    arena.notes.push(
      `${(warm + measured) * wave} connects, ${((measured * wave) / seconds).toFixed(0)} a second; since the ${warm * wave}th the heap of a server grew by at most ${mebibytes(heap)}, the process by ${mebibytes(resident)}; left: ${JSON.stringify(after.map(({ sockets, scopes, rooms }) => ({ sockets, scopes, rooms })))}`,
    )
    return (warm + measured) * wave
  },
}

const growth = (before: Inspection[], after: Inspection[], of: (one: Inspection) => number): number =>
  Math.max(...after.map((one, index) => of(one) - of(before[index]!)))

const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`
