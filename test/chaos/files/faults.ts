// The faults of uploads, deletions and sweeps.
import { sweepFiles } from '../../../src/domain/files/sweep.ts'
import { createLog } from '../../../src/log.ts'
import { pause } from '../fault.ts'
import type { FilesArena, FilesFault } from './files-arena.ts'
import type { StorageMode } from './storage-proxy.ts'

/** Of the consumer, the dispatcher, an attempt, and the deletion of an object. */
export const workerPoints = [
  'before-effect',
  'before-commit',
  'after-commit',
  'job-queued',
  'job-claimed',
  'object-deleted',
  'job-acted',
  'job-committed',
] as const

/** Around the storing of an upload. */
export const serverPoints = ['upload-reserved', 'upload-stored', 'uncommitted', 'committed'] as const

/** How long a process may take to reach its point. */
const reachMs = 10_000

const killAtPoints =
  (role: 'workers' | 'servers', points: readonly string[]) =>
  async (arena: FilesArena, signal: AbortSignal): Promise<number> => {
    const victim = arena.cluster[role][0]!
    const killedAt: string[] = []
    // At least once, however long a start takes.
    for (let turn = 0; !signal.aborted || (killedAt.length === 0 && turn < points.length); turn += 1) {
      const point = points[turn % points.length]!
      await arena.down(victim, async () => {
        await victim.kill()
        await victim.start({ TIDE_FAILPOINT: point, TIDE_FAILPOINT_AFTER: String(turn % 3) }).catch(() => {})
        const ended = await Promise.race([
          victim.exited.then(() => true),
          Bun.sleep(reachMs).then(() => false),
        ])
        if (ended) killedAt.push(point)
        else await victim.kill()
        await victim.start({ TIDE_FAILPOINT: '' })
      })
    }
    return killedAt.length
  }

const storageIn =
  (modes: readonly StorageMode[], everyMs: number) =>
  async (arena: FilesArena, signal: AbortSignal): Promise<number> => {
    let injected = 0
    for (; !signal.aborted; injected += 1) {
      arena.store.mode = modes[injected % modes.length]!
      await pause(everyMs, signal)
    }
    arena.store.mode = 'healthy'
    return injected
  }

export const workersKilled: FilesFault = {
  name: 'workers-killed',
  title: 'kill -9 of a worker at each point of consumer, dispatcher, job and deletion',
  disturb: killAtPoints('workers', workerPoints),
}

export const serverKilled: FilesFault = {
  name: 'server-killed',
  title: 'kill -9 of the server at each point of an upload',
  disturb: killAtPoints('servers', serverPoints),
}

export const storageFailing: FilesFault = {
  name: 'storage-failing',
  title: 'a store that answers 500, comes late, loses answers, is away or half-open',
  disturb: storageIn(['failing', 'slow', 'losing', 'healthy', 'away', 'half-open', 'healthy'], 1_500),
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

/** Longer than lease, lock and the interval in which stalled jobs are found. */
const stoppedMs = 17_000

/** SIGSTOP of the worker that runs a job, until the other has done it. */
export const workerStopped: FilesFault = {
  name: 'worker-stopped',
  title: 'SIGSTOP of workers in the middle of a job, continued after another took over',
  async disturb(arena, signal) {
    let injected = 0
    do {
      arena.store.mode = 'slow' // jobs run long enough to be met
      await pause(2_000, signal)
      const worker = arena.cluster.workers[injected % 2]!
      worker.signal('SIGSTOP')
      await Bun.sleep(stoppedMs) // also past the signal: half a stop shows nothing
      worker.signal('SIGCONT')
      injected += 1
    } while (!signal.aborted)
    arena.store.mode = 'healthy'
    return injected
  },
}

export const sweepsRacing: FilesFault = {
  name: 'sweeps-racing',
  title: 'sweeps beside uploads and deletions, with a store that fails in between',
  async disturb(arena, signal) {
    const log = createLog('chaos', 'silent')
    const modes = storageIn(['healthy', 'losing', 'slow'], 1_000)(arena, signal)
    let injected = 0
    for (; !signal.aborted; injected += 1)
      await sweepFiles(
        { db: arena.db, storage: arena.storage, log },
        { isDryRun: false, isForced: true, signal: new AbortController().signal },
      ).catch(() => {}) // a file that is deleted meanwhile
    await modes
    return injected
  },
}

export const filesFaults: FilesFault[] = [
  workersKilled,
  serverKilled,
  storageFailing,
  redisEmptied,
  workerStopped,
  sweepsRacing,
]
