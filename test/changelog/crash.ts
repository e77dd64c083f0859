// Running the writer that kills itself, and what it said before.
import { expect } from 'bun:test'
import { join } from 'node:path'
import type { World } from './world.ts'

/** As `crashing-writer.ts` knows them. */
export const crashPoints = ['uncommitted', 'committed', 'sent', 'half'] as const
export type CrashPoint = (typeof crashPoints)[number]

export interface LastWords {
  /** Entities of the entries whose COMMIT was acknowledged. */
  acknowledged: string[]
  /** Entities that were never committed. */
  doomed: string[]
}

const deadlineMs = 15_000

/** Resolves when the writer has died by its own SIGKILL. */
export const crash = async (world: World, point: CrashPoint, seed: number): Promise<LastWords> => {
  const script = join(import.meta.dir, 'crashing-writer.ts')
  const child = Bun.spawn(
    [process.execPath, script, world.databaseUrl, world.server.url, point, String(seed)],
    { stdout: 'pipe', stderr: 'ignore', env: process.env },
  )
  const deadline = setTimeout(() => child.kill('SIGTERM'), deadlineMs)
  const said = await new Response(child.stdout).text()
  await child.exited
  clearTimeout(deadline)
  expect(child.signalCode).toBe('SIGKILL')
  const idsOf = (word: string): string[] =>
    said.split('\n').flatMap((line) => (line.startsWith(`${word} `) ? [line.slice(word.length + 1)] : []))
  return { acknowledged: idsOf('acknowledged'), doomed: idsOf('doomed') }
}
