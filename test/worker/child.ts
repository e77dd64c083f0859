// A worker in a process of its own, for tests to kill. Settings come as JSON in the first argument; with `dieAt`
// it kills itself there, the `dieAfter`-th time it comes by. Says `ready <port>` when it runs.
import type { Failpoint } from '../../src/worker/engine/shard-consumer.ts'
import { openWorker, type WorkerSettings } from './rig.ts'

export interface ChildSettings extends Omit<WorkerSettings, 'failpoint'> {
  dieAt?: Parameters<Failpoint>[0]
  dieAfter?: number
}

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the parent is a test
const settings = JSON.parse(process.argv[2]!) as ChildSettings
let left = settings.dieAfter ?? 1

const worker = await openWorker({
  ...settings,
  failpoint: async (point) => {
    if (point !== settings.dieAt) return
    left -= 1
    if (left <= 0) process.kill(process.pid, 'SIGKILL')
    if (left <= 0) await new Promise(() => {}) // nothing after the point happens
  },
})
process.stdout.write(`ready ${worker.port}\n`)
