// The short form of `bun run chaos files`: one seed, a few seconds a fault, and a control that must be detected.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { countFilesVariant, filesControls } from './files/controls.ts'
import { redisEmptied, storageFailing, urlsOverwritten } from './files/faults.ts'
import { FilesArena } from './files/files-arena.ts'
import { serverKilled, workersKilled } from './files/kills.ts'
import { emptyAfterDeletion } from './files/project-deleted.ts'
import { sweepsRacing } from './files/sweeps.ts'

const seed = 20_261_127
const seconds = 6

let arena: FilesArena

beforeAll(async () => {
  arena = await FilesArena.open({ seed, isShort: true, report: () => {} })
}, 60_000)

afterAll(() => arena[Symbol.asyncDispose](), 20_000)

for (const fault of [
  workersKilled,
  serverKilled,
  storageFailing,
  redisEmptied,
  urlsOverwritten,
  sweepsRacing,
]) {
  test(`${fault.title}: every object has a row and every row an object`, async () => {
    const { counts, violations } = await arena.run(fault, seconds)
    expect(violations).toEqual([])
    expect(counts.injected).toBeGreaterThan(0)
  }, 180_000)
}

test('the files of a deleted project are gone, also where the store was away', async () => {
  for (const awayMs of [0, 3_000])
    expect(await emptyAfterDeletion(arena, { files: 40, awayMs })).toBeLessThan(60_000)
}, 180_000)

test('a worker that drops rows before their objects are deleted is detected as wrong', async () => {
  const control = filesControls.find(({ variant }) => variant === 'row-dropped-first')!
  expect(await countFilesVariant(control, seed, seconds)).toBeGreaterThan(0)
}, 180_000)
