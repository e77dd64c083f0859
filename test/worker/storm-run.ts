// The loads of storm.ts at full size, against real processes:
//   bun run storms -- [--tasks 100000] [--steady 120] [--changes 50000] [--write]
// --steady: seconds; 0 leaves a load out. --write keeps the result in reliability/storms.json. The exit code is 1 where
// anything was notified twice, not at all or too late.
import { parseArgs } from 'node:util'
import { machineFacts, type Facts } from '../../bench/machine.ts'
import { startCluster } from '../support/cluster.ts'
import { awayStorm, dueSteadily, dueStorm, prepareAwayStorm } from './storm.ts'
import type { AwayStormResult, DueStormResult, SteadyResult } from './storm.ts'

export interface StormResults {
  date: string
  machine: Facts['machine']
  due: DueStormResult | null
  steady: SteadyResult | null
  away: AwayStormResult[]
}

/** Until all are notified, of tasks that fall due at one instant. */
export const maxDueSeconds = 60
/** The 99th percentile while tasks fall due one after another. */
export const maxLateSeconds = 20
const timeoutMs = 600_000
const perSecond = 20
/** Of the product where it is not set. */
const usual = { OVERDUE_INTERVAL_MS: '15000' }

const report = (line: string): void => console.error(line)

const due = async (tasks: number): Promise<DueStormResult> => {
  await using cluster = await startCluster({ servers: 0, workers: 2, report })
  const [first, second] = cluster.workers
  await Promise.all([first!.stop(), second!.stop()])
  report(`${tasks} tasks fall due at one instant; one of two workers is killed`)
  return await dueStorm({ databaseUrl: cluster.databaseUrl, count: tasks, timeoutMs }, async () => {
    await Promise.all([first!.start(), second!.start()])
    return [first!, second!]
  })
}

const steady = async (seconds: number): Promise<SteadyResult> => {
  await using cluster = await startCluster({ servers: 0, workers: 2, environment: usual, report })
  report(`${perSecond} tasks fall due each second for ${seconds} s`)
  return await dueSteadily({ databaseUrl: cluster.databaseUrl, perSecond, seconds, timeoutMs })
}

const away = async (changes: number): Promise<AwayStormResult[]> => {
  await using cluster = await startCluster({ servers: 1, workers: 2, report })
  const scene = await prepareAwayStorm(cluster.servers[0]!.url, cluster.databaseUrl)
  const results: AwayStormResult[] = []
  for (const workers of [1, 2]) {
    await Promise.all(cluster.workers.map((worker) => worker.stop()))
    report(`${changes} changes while no worker runs, then ${workers}`)
    const started = cluster.workers.slice(0, workers)
    const result = await awayStorm(scene, { changes, workers, timeoutMs }, async () => {
      await Promise.all(started.map((worker) => worker.start()))
      return started
    })
    results.push(result)
    if (workers === 1) await cluster.workers[1]!.start()
  }
  return results
}

if (import.meta.main) {
  const { values } = parseArgs({
    args: process.argv.slice(2),
    options: {
      tasks: { type: 'string', default: '100000' },
      steady: { type: 'string', default: '120' },
      changes: { type: 'string', default: '50000' },
      write: { type: 'boolean', default: false },
    },
  })
  const [tasks, seconds, changes] = [values.tasks, values.steady, values.changes].map(Number)
  const machine = machineFacts()
  const results: StormResults = {
    date: new Date().toISOString(),
    machine,
    due: tasks! > 0 ? await due(tasks!) : null,
    steady: seconds! > 0 ? await steady(seconds!) : null,
    away: changes! > 0 ? await away(changes!) : [],
  }
  const text = `${JSON.stringify(results, null, 2)}\n`
  if (values.write) await Bun.write(new URL('../../reliability/storms.json', import.meta.url), text)
  console.log(text)
  if ((results.due?.allSeconds ?? 0) > maxDueSeconds) process.exitCode = 1
  if ((results.steady?.lateSeconds.p99 ?? 0) > maxLateSeconds) process.exitCode = 1
}
