// The faults of uploads, direct uploads, deletions and sweeps.
import { pause } from '../fault.ts'
import type { FilesArena, FilesFault } from './files-arena.ts'
import { serverKilled, workersKilled } from './kills.ts'
import type { StorageMode } from './storage-proxy.ts'
import { sweepsKilled, sweepsRacing } from './sweeps.ts'

/** Above what a call that meets the mode may take, so that it fails in it. */
const modeMs = 6_000
const shortModeMs = 750

/** Every mode in turn, each at least once. */
export const storageIn =
  (modes: readonly StorageMode[]) =>
  async (arena: FilesArena, signal: AbortSignal): Promise<number> => {
    let injected = 0
    for (; !signal.aborted || injected < modes.length; injected += 1) {
      arena.store.mode = modes[injected % modes.length]!
      await Bun.sleep(arena.isShort ? shortModeMs : modeMs)
    }
    arena.store.mode = 'healthy'
    return injected
  }

export const storageFailing: FilesFault = {
  name: 'storage-failing',
  title:
    'a store that answers 500, to all or to reads, comes late or after the deadline, loses answers, is away or half-open',
  disturb: storageIn([
    'failing',
    'slow',
    'unreadable',
    'late',
    'losing',
    'healthy',
    'away',
    'half-open',
    'healthy',
  ]),
}

export const redisEmptied: FilesFault = {
  name: 'redis-emptied',
  title: 'FLUSHALL between deliveries and their jobs, again and again',
  async disturb(arena, signal) {
    let injected = 0
    for (; !signal.aborted; injected += 1) {
      await arena.redis.flushall().catch(() => {})
      await pause(200, signal)
    }
    return injected
  },
}

/** Above the time between two renewals of a lease. */
const unrenewedMs = 5_000
/** Lease, lock and the interval in which stalled jobs are found, on a machine that is busy. */
const takeOverMs = 60_000

/** @returns the deliveries whose lease was not renewed in this time. */
const unrenewed = async ({ db }: FilesArena): Promise<string[]> => {
  const rows = await db.read(
    (sql) => sql<{ id: string }[]>`
      select id from deliveries where state = 'running' and lease_until < now() + interval '6 seconds'`,
  )
  return rows.map(({ id }) => id)
}

const areDone = async ({ db }: FilesArena, ids: readonly string[]): Promise<boolean> => {
  const rows = await db.read(
    (sql) => sql`select from deliveries where id = any(${[...ids]}::uuid[]) and state <> 'done'`,
  )
  return rows.length === 0
}

/** SIGSTOP of a worker that runs jobs, until the other one has done them. */
export const workerStopped: FilesFault = {
  name: 'worker-stopped',
  title: 'SIGSTOP of workers in the middle of a job, continued after another took over',
  leavesAttempts: true,
  async disturb(arena, signal) {
    let injected = 0
    arena.store.mode = 'slow' // jobs run long enough to be met
    // Also past the signal: half a stop shows nothing.
    for (let turn = 0; (!signal.aborted || injected < 2) && turn < 10; turn += 1) {
      await pause(1_000, signal)
      const worker = arena.cluster.workers[turn % 2]!
      worker.signal('SIGSTOP')
      await Bun.sleep(unrenewedMs)
      const held = await unrenewed(arena)
      const endsAt = performance.now() + takeOverMs
      while (held.length > 0 && performance.now() < endsAt && !(await areDone(arena, held)))
        await Bun.sleep(100)
      if (held.length > 0 && (await areDone(arena, held))) injected += 1
      worker.signal('SIGCONT')
    }
    arena.store.mode = 'healthy'
    return injected
  },
}

const raceEveryMs = 700

/** Leases end while their attempts run, and their jobs are made again: the other worker claims the same deliveries. */
export const workersRacing: FilesFault = {
  name: 'workers-racing',
  title: 'two workers on the same deliveries: leases ended under attempts that go on, their jobs made again',
  leavesAttempts: true,
  async disturb(arena, signal) {
    let injected = 0
    arena.store.mode = 'slow' // attempts last longer than a lease
    while (!signal.aborted || injected === 0) {
      await Bun.sleep(raceEveryMs)
      const ended = await arena.db.transact(
        (tx) =>
          tx`update deliveries set lease_until = now(), next_at = now() where state = 'running' returning id`,
      )
      await arena.redis.flushall().catch(() => {})
      injected += ended.length
    }
    arena.store.mode = 'healthy'
    return injected
  },
}

const overwriting = { uploads: 1, direct: 6 }

export const urlsOverwritten: FilesFault = {
  name: 'urls-overwritten',
  title: 'signed URLs stored to again during and after the verification, tasks deleted during it',
  lanes: overwriting,
  async disturb(arena, signal) {
    const modes: StorageMode[] = ['healthy', 'slow', 'losing']
    for (let turn = 0; !signal.aborted; turn += 1) {
      arena.store.mode = modes[turn % modes.length]!
      await pause(1_500, signal)
    }
    arena.store.mode = 'healthy'
    await arena.untilTraffic(overwriting)
    return arena.counts.overwrites
  },
}

export const filesFaults: FilesFault[] = [
  workersKilled,
  serverKilled,
  storageFailing,
  redisEmptied,
  workerStopped,
  workersRacing,
  urlsOverwritten,
  sweepsRacing,
  sweepsKilled,
]
