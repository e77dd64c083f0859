// The clocks of a server and a worker are ten minutes fast, then slow: order, due times and the validity of tokens that
// are minutes old must not depend on the clock of one process.
import { join } from 'node:path'
import { pause, type Fault } from '../fault.ts'

const offsetMs = 10 * 60_000

const withClock = (offset: number): Record<string, string> => ({
  BUN_OPTIONS: `--preload ${join(import.meta.dir, '..', 'clock.ts')}`,
  TIDE_CLOCK_OFFSET_MS: String(offset),
})

export const clockOff: Fault = {
  name: 'clock-off',
  title: 'the clocks of a server and a worker ten minutes fast, then slow',
  async disturb(arena, signal) {
    const roles = [arena.cluster.servers[0]!, arena.cluster.workers[0]!]
    let injected = 0
    do {
      const offset = injected % 2 === 0 ? offsetMs : -offsetMs
      await Promise.all(roles.map((role) => arena.restart(role, 0, withClock(offset))))
      injected += 1
      await pause(5_000, signal)
    } while (!signal.aborted || injected < 2)
    await Promise.all(roles.map((role) => arena.restart(role)))
    return injected
  },
}
