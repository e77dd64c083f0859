// The short form of `bun run chaos realtime`: one seed, a few seconds a fault, and controls that must be detected.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { Arena } from './arena.ts'
import { controls, countVariant } from './controls.ts'
import { batchesKilled } from './faults/batches-killed.ts'
import { crashPoints } from './faults/crash-points.ts'
import { epochRenewed } from './faults/epoch-renewed.ts'
import { postgresRestarted } from './faults/postgres-restarted.ts'
import { redisEmptied } from './faults/redis-emptied.ts'
import { serverKilled } from './faults/server-killed.ts'

const seed = 20_251_121
const seconds = 2.5

let arena: Arena

beforeAll(async () => {
  const sizes = { servers: 2, workers: 1, projects: 3, followers: 9, sockets: 0, timeoutMs: 20_000 }
  arena = await Arena.open({ ...sizes, seed, report: () => {} })
}, 120_000)

afterAll(() => arena[Symbol.asyncDispose]())

for (const fault of [
  epochRenewed,
  serverKilled,
  crashPoints,
  batchesKilled,
  redisEmptied,
  postgresRestarted,
]) {
  test(`${fault.title}: nothing lost, repeated, reordered or leaked`, async () => {
    // The recovery time is checked by the long run: this one shares its machine with other tests.
    const { counts, violations } = await arena.run(
      { ...fault, recoveryMs: { writers: 20_000, sockets: 20_000, worker: 20_000 } },
      seconds,
    )
    expect(violations).toEqual([])
    expect(counts.injected).toBeGreaterThan(0)
    expect(counts.writes).toBeGreaterThan(10) // a busy machine wrote 35
  }, 120_000) // six kills at points, of which each may have to be tried again
}

// The runs above are those of the product. Recovery is not judged: what a variant lost is not waited for.
const short = { writers: 1_000, sockets: 1_000, worker: 1_000 }

for (const control of controls['realtime']!.slice(0, 2)) {
  test(`the same run on the variant ${control.variant} is detected as wrong`, async () => {
    const fault = { ...control.fault, recoveryMs: short }
    const arena = { ...control.arena, timeoutMs: 2_000 }
    expect(await countVariant({ ...control, fault, arena }, seed, seconds)).toBeGreaterThan(0)
  }, 60_000)
}
