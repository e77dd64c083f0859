// Counts of what was injected: a kind or a point that was never reached is a violation.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Role } from '../support/cluster.ts'
import type { Arena } from './arena.ts'
import { Injections } from './injections.ts'
import { killAtEach } from './kill-at.ts'

let dataDir: string

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'tide-injections-'))
})

afterAll(() => rm(dataDir, { recursive: true, force: true }))

test('a kind that was never injected is a violation', () => {
  const run = { notes: [] as string[], violations: [] as string[] }
  const injections = new Injections(run, ['stopped', 'half-open'])
  injections.add('stopped')
  injections.add('stopped')
  expect(injections.missing).toEqual(['half-open'])
  expect(injections.finish()).toBe(2)
  expect(run.notes).toEqual(['stopped 2, half-open 0'])
  expect(run.violations).toEqual(['never injected: half-open'])
})

/** A role that reaches the points for which `reaches` is true, before it is ready; it starts where it has no point. */
const roleOf = (reaches: (point: string, after: number) => boolean) => {
  const role = {
    starts: [] as string[],
    kill: () => Promise.resolve(),
    async start(environment?: Record<string, string>) {
      const point = environment?.['TIDE_FAILPOINT']
      role.starts.push(point ?? 'ready')
      if (point === undefined) return
      if (reaches(point, Number(environment?.['TIDE_FAILPOINT_AFTER'])))
        await Bun.write(environment!['TIDE_FAILPOINT_REACHED']!, point)
      throw new Error('the role has ended')
    },
  }
  return role
}

const killAt = async (role: ReturnType<typeof roleOf>, signal: AbortSignal) => {
  const run = { notes: [] as string[], violations: [] as string[] }
  const down = (_: Role, work: () => Promise<unknown>) => work()
  const arena = { ...run, cluster: { dataDir, workers: [] }, down } as unknown as Arena
  const kills = await killAtEach(arena, role as unknown as Role, ['first', 'second'], () => 7, signal)
  return { ...run, kills }
}

test('kills at points continue past the time until each was reached, those already reached not again', async () => {
  let tries = 0
  const role = roleOf((point) => point === 'first' || (tries += 1) === 3)
  expect(await killAt(role, AbortSignal.abort())).toEqual({
    kills: 2,
    notes: ['first 1, second 1'],
    violations: [],
  })
  expect(role.starts).toEqual(['first', 'second', 'second', 'second', 'ready'])
})

test('a point that was missed is next tried at its first pass', async () => {
  const role = roleOf((point, after) => point === 'first' || after === 0)
  expect((await killAt(role, AbortSignal.abort())).violations).toEqual([])
  expect(role.starts).toEqual(['first', 'second', 'second', 'ready'])
})

test('a point that is never reached is a violation', async () => {
  const role = roleOf((point) => point === 'first')
  expect(await killAt(role, AbortSignal.abort())).toMatchObject({
    kills: 1,
    violations: ['never injected: second'],
  })
  expect(role.starts.at(-1)).toBe('ready')
})
