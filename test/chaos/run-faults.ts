// Runs the faults of a suite in order: those without settings of their own share one cluster.
import { Arena, type ArenaOptions } from './arena.ts'
import { titleOf, type Fault } from './fault.ts'
import { emptyRow, faultRow, type FaultRow, type RunFacts } from './results.ts'

const usualSizes = { servers: 3, workers: 2, projects: 6, followers: 24, sockets: 3_000 }
const sizesOf: Record<string, Partial<ArenaOptions>> = {
  worker: { servers: 2, projects: 2, followers: 6, sendsMails: true, acts: { lanes: 3, everyMs: 60 } },
}

export const canInject = (fault: Fault): boolean => (fault.impossible?.() ?? null) === null

export const runFaults = async (
  facts: Omit<RunFacts, 'seconds'>,
  faults: readonly Fault[],
  { secondsOf, report }: { secondsOf: (fault: Fault) => number; report: (line: string) => void },
): Promise<FaultRow[]> => {
  const { suite, seed, isLong } = facts
  const rows: FaultRow[] = []
  const isShared = ({ environment, cluster }: Fault): boolean => !environment && !cluster
  const shared = faults.filter(isShared)
  const queue = [shared, ...faults.filter((fault) => !isShared(fault)).map((fault) => [fault])]
  while (queue.length > 0) {
    const group = queue.shift()!
    if (group.length === 0) continue
    const [{ environment, cluster } = {}] = group
    await using arena = await Arena.open({
      ...usualSizes,
      ...sizesOf[suite],
      isLong,
      seed,
      report,
      ...(environment && { environment }),
      ...(cluster && { cluster }),
    })
    for (const [index, fault] of group.entries()) {
      const seconds = secondsOf(fault)
      report(`${suite}: ${titleOf(fault, isLong)}`)
      try {
        const row = faultRow({ ...facts, seconds }, await arena.run(fault, seconds))
        rows.push(row)
        report(`${fault.name}: ${row.violations.join('; ') || 'ok'}`)
      } catch (error) {
        // Its cluster may be in any state: the faults after it have a new one.
        rows.push(emptyRow({ ...facts, seconds }, fault, { error }))
        report(`${fault.name}: the run ended: ${String(error)}`)
        queue.unshift(group.slice(index + 1))
        break
      }
    }
  }
  return rows
}
