// The disk of PostgreSQL is full for seconds: writes are refused, or PostgreSQL ends because it cannot write its log.
// Then there is space again, and whatever has ended is started. The disk is a file system of its own, in memory.
import { open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { canMount } from '../../support/memory-mount.ts'
import { pause, type Fault } from '../fault.ts'

const fullMs = 4_000
/** The second fills what is left by the first. */
const chunks = [Buffer.alloc(1024 * 1024), Buffer.alloc(4 * 1024)]

/** Fills the file system that the file is on. */
const fill = async (path: string): Promise<void> => {
  await using file = await open(path, 'a')
  for (const chunk of chunks) {
    try {
      for (;;) await file.write(chunk)
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error
    }
  }
}

export const postgresFull: Fault = {
  name: 'postgres-full',
  title: 'the disk of PostgreSQL full, for 4 s at a time',
  cluster: { databaseBytes: 384 * 1024 * 1024 },
  longSeconds: 60,
  impossible: () => (canMount() ? null : 'this process may not mount a file system'),
  async disturb(arena, signal) {
    const { postgres, dataDir } = arena.cluster
    const ballast = join(dataDir, 'postgres', 'ballast')
    let injected = 0
    let ended = 0
    let refused = 0
    do {
      const before = arena.api.counts.failed
      await fill(ballast)
      const filler = setInterval(() => void fill(ballast).catch(() => {}), 250) // recycled segments of the log free some
      await Bun.sleep(fullMs)
      clearInterval(filler)
      refused += arena.api.counts.failed - before
      const isEnded = await Promise.race([postgres.exited.then(() => true), Bun.sleep(10).then(() => false)])
      await rm(ballast)
      if (isEnded) {
        ended += 1
        await postgres.start()
      }
      arena.healed()
      injected += 1
      await pause(3_000, signal)
    } while (!signal.aborted)
    arena.notes.push(`${refused} requests refused meanwhile, PostgreSQL ended ${ended} times`)
    if (refused === 0) arena.violations.push('no request was refused: the disk was not full')
    return injected
  },
}
