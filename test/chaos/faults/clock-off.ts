// The clocks of a server and a worker are ten minutes fast, then slow: order, due times and the validity of tokens that
// are minutes old must not depend on the clock of one process. A task that is due in five minutes is not overdue yet.
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Role } from '../../support/cluster.ts'
import { Injections } from '../injections.ts'
import type { Fault } from '../fault.ts'
import type { Arena } from '../arena.ts'

const offsetMs = 10 * 60_000
/** Between the times at which two processes read their clocks. */
const maxDifferenceMs = 60_000
const eachMs = 5_000
const maxTurns = 6

/** Starts the role again with a clock that is wrong; returns whether it is. */
const restartWithClock = async (arena: Arena, role: Role, offset: number): Promise<boolean> => {
  const { dataDir, environment } = arena.cluster
  const file = join(dataDir, `clock-${crypto.randomUUID()}`)
  const preload = `--preload ${join(import.meta.dir, '..', 'clock.ts')}`
  await arena.restart(role, 0, {
    BUN_OPTIONS: `${environment['BUN_OPTIONS'] ?? ''} ${preload}`.trim(), // with that of a variant
    TIDE_CLOCK_OFFSET_MS: String(offset),
    TIDE_CLOCK_FILE: file,
  })
  const difference = Number(await Bun.file(file).text()) - Date.now()
  await rm(file)
  return Math.abs(difference - offset) < maxDifferenceMs
}

export const clockOff: Fault = {
  name: 'clock-off',
  title: 'the clocks of a server and a worker ten minutes fast, then slow',
  dueLaterMs: 5 * 60_000,
  async disturb(arena, signal) {
    const roles = [arena.cluster.servers[0]!, arena.cluster.workers[0]!]
    const injections = new Injections(arena, ['fast', 'slow'])
    for (let turn = 0; !signal.aborted || (injections.missing.length > 0 && turn < maxTurns); turn += 1) {
      const kind = turn % 2 === 0 ? 'fast' : 'slow'
      const offset = kind === 'fast' ? offsetMs : -offsetMs
      const areWrong = await Promise.all(roles.map((role) => restartWithClock(arena, role, offset)))
      await Bun.sleep(eachMs)
      if (areWrong.every(Boolean)) injections.add(kind)
    }
    await Promise.all(roles.map((role) => arena.restart(role)))
    return injections.finish()
  },
}
