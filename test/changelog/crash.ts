// Runs the writer that kills itself, and returns what it printed before.
import { expect } from 'bun:test'
import { join } from 'node:path'
import type { World } from './world.ts'

/** The crash points that `crashing-writer.ts` implements. */
export const crashPoints = ['uncommitted', 'committed', 'sent', 'half'] as const
export type CrashPoint = (typeof crashPoints)[number]

export interface WriterOutput {
  /** Entities of the entries whose COMMIT was acknowledged. */
  acknowledged: string[]
  /** Entities of the transaction that was not committed. */
  uncommitted: string[]
}

/** Between two lines of its output: it prints every write. */
const silenceMs = 20_000

/** Resolves when the writer has ended by its own SIGKILL. */
export const crash = async (world: World, point: CrashPoint, seed: number): Promise<WriterOutput> => {
  const script = join(import.meta.dir, 'crashing-writer.ts')
  const child = Bun.spawn(
    [process.execPath, script, world.databaseUrl, world.server.url, point, String(seed)],
    { stdout: 'pipe', stderr: 'ignore', env: process.env },
  )
  const end = (): void => child.kill('SIGTERM')
  let deadline = setTimeout(end, silenceMs)
  let output = ''
  for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
    output += chunk
    clearTimeout(deadline)
    deadline = setTimeout(end, silenceMs)
  }
  await child.exited
  clearTimeout(deadline)
  expect(child.signalCode).toBe('SIGKILL')
  const idsOf = (word: string): string[] =>
    output.split('\n').flatMap((line) => (line.startsWith(`${word} `) ? [line.slice(word.length + 1)] : []))
  return { acknowledged: idsOf('acknowledged'), uncommitted: idsOf('uncommitted') }
}
