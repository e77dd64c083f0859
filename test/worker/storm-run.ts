// The storms at full size, against real processes, by hand:
//   node bin/tasktide.mjs script test/worker/storm-run.ts [--tasks 100000] [--changes 50000]
// Prints what was measured; the exit code is 1 where anything was notified twice or not at all, or too late.
import { parseArgs } from 'node:util'
import { startCluster } from '../support/cluster.ts'
import { awayStorm, dueStorm, prepareAwayStorm } from './storm.ts'

const { values } = parseArgs({
  args: process.argv.slice(2),
  options: { tasks: { type: 'string' }, changes: { type: 'string' } },
})
const tasks = Number(values.tasks ?? 100_000)
const changes = Number(values.changes ?? 50_000)
const maxSeconds = 60

const report = (line: string): void => console.error(line)

if (tasks > 0) {
  await using cluster = await startCluster({ servers: 0, workers: 2, report })
  const [first, second] = cluster.workers
  await Promise.all([first!.stop(), second!.stop()])
  const settings = { databaseUrl: cluster.databaseUrl, count: tasks, timeoutMs: 10 * maxSeconds * 1000 }
  report(`${tasks} tasks fall due at one instant; one of two workers is killed`)
  const result = await dueStorm(settings, async () => {
    await Promise.all([first!.start(), second!.start()])
    return [first!, second!]
  })
  console.log({ due: result })
  if (result.allSeconds > maxSeconds) process.exitCode = 1
}

if (changes > 0) {
  await using cluster = await startCluster({ servers: 1, workers: 2, report })
  const server = cluster.servers[0]!
  const scene = await prepareAwayStorm(server.url, cluster.databaseUrl)
  for (const workers of [1, 2]) {
    await Promise.all(cluster.workers.map((worker) => worker.stop()))
    report(`${changes} changes while no worker runs, then ${workers}`)
    const result = await awayStorm(scene, { changes, workers, timeoutMs: 600_000 }, () =>
      Promise.all(cluster.workers.slice(0, workers).map((worker) => worker.start())),
    )
    console.log({ away: result })
    if (workers === 1) await cluster.workers[1]!.start()
  }
}
