// Runs the faults of a suite in order: those without settings of their own share one cluster.
import { Arena, type ArenaOptions } from './arena.ts'
import { titleOf, type Fault } from './fault.ts'
import { emptyRow, faultRow, type FaultRow, type RunFacts } from './results.ts'

const usualSizes = { servers: 3, workers: 2, projects: 6, followers: 24, sockets: 3_000 }
const sizesOf: Record<string, Partial<ArenaOptions>> = {
  worker: { servers: 2, projects: 2, followers: 6, sendsMails: true, acts: { lanes: 3, everyMs: 60 } },
}

export const canInject = (fault: Fault): boolean => (fault.impossible?.() ?? null) === null

/** @param keep is given each row when its run has ended. */
export const runFaults = async (
  facts: Omit<RunFacts, 'seconds'>,
  faults: readonly Fault[],
  {
    secondsOf,
    keep,
    report,
  }: {
    secondsOf: (fault: Fault) => number
    keep: (row: FaultRow) => Promise<void>
    report: (line: string) => void
  },
): Promise<void> => {
  const { suite, seed, isLong } = facts
  /** Runs faults on one cluster, up to the first whose run ends with an error. Returns those that are left. */
  const runOn = async (group: readonly Fault[]): Promise<readonly Fault[]> => {
    const [{ environment, cluster } = {}] = group
    let at = 0
    try {
      await using arena = await Arena.open({
        ...usualSizes,
        ...sizesOf[suite],
        isLong,
        seed,
        report,
        ...(environment && { environment }),
        ...(cluster && { cluster }),
      })
      for (; at < group.length; at += 1) {
        const fault = group[at]!
        const seconds = secondsOf(fault)
        report(`${suite}: ${titleOf(fault, isLong)}`)
        const row = faultRow({ ...facts, seconds }, await arena.run(fault, seconds))
        await keep(row)
        report(`${fault.name}: ${row.violations.join('; ') || 'ok'}`)
      }
    } catch (error) {
      const fault = group[at]
      if (!fault) throw error // all have run: the cluster did not end
      report(`${fault.name}: the run ended: ${String(error)}`)
      await keep(emptyRow({ ...facts, seconds: secondsOf(fault) }, fault, { error }))
    }
    // The cluster may be in any state: the faults after it have a new one.
    return group.slice(at + 1)
  }
  const isShared = ({ environment, cluster }: Fault): boolean => !environment && !cluster
  let shared: readonly Fault[] = faults.filter(isShared)
  while (shared.length > 0) shared = await runOn(shared)
  for (const fault of faults.filter((one) => !isShared(one))) await runOn([fault])
}
