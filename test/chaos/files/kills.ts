// kill -9 at named points: a process kills itself when it reaches one. Every point must have been reached at the end.
import { killAt } from '../kill-at.ts'
import type { FilesArena, FilesFault } from './files-arena.ts'
import { serverPoints, workerPoints } from './points.ts'

/** Starts for each point at most. */
const maxRounds = 4

const killAtPoints =
  (role: 'workers' | 'servers', points: readonly string[]) =>
  async (arena: FilesArena, signal: AbortSignal): Promise<number> => {
    const victim = arena.cluster[role][0]!
    const reached = new Set<string>()
    let injected = 0
    const isOver = (): boolean =>
      signal.aborted && (arena.isShort ? injected > 0 : points.every((point) => reached.has(point)))
    await arena.down(victim, async () => {
      await victim.kill()
      for (let turn = 0; !isOver() && turn < points.length * maxRounds; turn += 1) {
        const point = points[turn % points.length]!
        if (signal.aborted && reached.has(point)) continue
        const after = reached.has(point) ? turn % 3 : 0
        if (!(await killAt(arena, victim, { point, after }))) continue
        reached.add(point)
        injected += 1
      }
      await victim.start({ TIDE_FAILPOINT: '' })
    })
    const left = points.filter((point) => !reached.has(point))
    arena.notes.push(`killed at ${[...reached].join(', ')}`)
    if (!arena.isShort && left.length > 0) arena.violations.push(`never reached: ${left.join(', ')}`)
    return injected
  }

export const workersKilled: FilesFault = {
  name: 'workers-killed',
  title: 'kill -9 of a worker at each point of consumer, dispatcher, job, deletion and verification',
  disturb: killAtPoints('workers', workerPoints),
}

export const serverKilled: FilesFault = {
  name: 'server-killed',
  title: 'kill -9 of the server at each point of an upload, a direct upload and a deletion',
  disturb: killAtPoints('servers', serverPoints),
}

/** For controls. */
export const killedAt = (role: 'workers' | 'servers', point: string): FilesFault => ({
  name: `${role}-killed-at`,
  title: `kill -9 of a ${role === 'workers' ? 'worker' : 'server'} at ${point}`,
  disturb: killAtPoints(role, [point]),
})
