// A swarm whose every socket must have received every entry since its cursor, once and in order.
import type { Database } from '../../src/db/client.ts'
import { numberOf } from '../oracle/follower.ts'
import { eventually } from '../support/eventually.ts'
import type { Seat, Swarm, SwarmReport } from '../support/swarm.ts'
import { assertHolds } from './recovery.ts'

export interface CheckedSwarm extends Swarm {
  /** Ends the writing; each entry that a socket missed, received twice or out of order becomes a violation. */
  check(): Promise<SwarmReport>
}

/** Waits until every socket of the swarm has reached the end of the log; returns what it received, and the violations. */
export const checkSwarm = async (
  swarm: Swarm,
  seats: Seat[],
  db: Database,
  timeoutMs: number,
): Promise<{ report: SwarmReport; violations: string[] }> => {
  const positions = [...new Map(seats.map((seat) => [seat.scope, seat])).values()]
  /** Counted again each time: a write whose client gave up may still commit. */
  const late = async ({ scopes }: SwarmReport): Promise<string[]> => {
    const wanted = new Map(
      await Promise.all(positions.map(async (seat) => [seat.scope, await entriesSince(db, seat)] as const)),
    )
    return Object.entries(scopes)
      .filter(([scope, { least, most }]) => least !== wanted.get(scope) || most !== wanted.get(scope))
      .map(
        ([scope, { least, most }]) => `${scope}: ${least} to ${most} events instead of ${wanted.get(scope)}`,
      )
  }
  const report = await eventually(
    async () => {
      const report = await swarm.report()
      assertHolds((await late(report)).length === 0)
      return report
    },
    { timeoutMs, everyMs: 100 },
  ).catch(() => swarm.report())
  const { repeated, reordered, leaked, resyncs } = report
  const wrong = { repeated, reordered, leaked, resyncs }
  const isWrong = Object.values(wrong).some((count) => count > 0)
  return {
    report,
    violations: [...(await late(report)), ...(isWrong ? [`swarm: ${JSON.stringify(wrong)}`] : [])],
  }
}

const entriesSince = async (db: Database, { scope, cursor }: Seat): Promise<number> => {
  const [row] = await db.read(
    (sql) => sql<{ count: number }[]>`
      select count(*)::int as count from feed
      where scope = ${scope} and seq > ${numberOf(cursor!)} and frame is not null`,
  )
  return row!.count
}
