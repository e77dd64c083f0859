// kill -9 at named points: a process kills itself when it reaches one, and leaves a file that says so.
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Cluster, Role } from '../support/cluster.ts'
import type { Arena } from './arena.ts'
import { Injections } from './injections.ts'
import { variantEnvironment } from './variants.ts'

/** How long a process may take to reach its point. */
const reachMs = 10_000
/** Starts for each point at most, once the time of the fault is over. */
const maxRounds = 4

export interface KillPoint {
  point: string
  /** How often the process passes the point before it kills itself there. */
  after?: number
  /** Further settings of the process. */
  environment?: Record<string, string>
}

/**
 * Starts the role, which must be expected to end, so that it kills itself at the point.
 * @param work runs while it does; @returns whether it was reached.
 */
export const killAt = async (
  { cluster }: { cluster: Pick<Cluster, 'dataDir'> },
  role: Role,
  { point, after = 0, environment }: KillPoint,
  work: () => Promise<unknown> = async () => {},
): Promise<boolean> => {
  const file = join(cluster.dataDir, `reached-${crypto.randomUUID()}`)
  const failpoint = {
    ...environment,
    TIDE_FAILPOINT: point,
    TIDE_FAILPOINT_AFTER: String(after),
    TIDE_FAILPOINT_REACHED: file,
  }
  const isStarted = await role
    .start(failpoint)
    .then(() => true)
    .catch(() => false) // it may reach its point before it is ready
  if (isStarted) {
    await work()
    await Promise.race([role.exited, Bun.sleep(reachMs)])
    await role.kill()
  }
  const isReached = await Bun.file(file).exists()
  await rm(file, { force: true })
  return isReached
}

/**
 * Kills the role at each point in turn, until the signal aborts and every point was reached; starts it at the end. A point
 * that was never reached is a violation. Returns the number of kills.
 * @param after how often the process may pass the point before it kills itself there
 */
export const killAtEach = async <Point extends string>(
  arena: Arena,
  role: Role,
  points: readonly Point[],
  after: (point: Point) => number,
  signal: AbortSignal,
): Promise<number> => {
  const injections = new Injections(arena, points)
  const missed = new Set<Point>()
  const isWorker = arena.cluster.workers.includes(role)
  await arena.down(role, async () => {
    await role.kill()
    for (let turn = 0; ; turn += 1) {
      const { missing } = injections
      if (signal.aborted && (missing.length === 0 || turn >= points.length * maxRounds)) break
      const point = points[turn % points.length]!
      if (signal.aborted && !missing.includes(point)) continue
      if (isWorker) arena.allowRepeatedMail()
      // A process that did not come as far in time now kills itself where it passes the point first.
      const kill = { point, after: missed.has(point) ? 0 : after(point) }
      const isReached = await killAt(arena, role, { ...kill, environment: variantEnvironment('failpoints') })
      if (isReached) injections.add(point)
      else missed.add(point)
    }
    await role.start()
  })
  return injections.finish()
}
