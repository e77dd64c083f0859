// A worker in a process of its own, which tests kill. The first argument is its settings as JSON. Prints `ready <port>`
// when it runs.
import { openWorker, type WorkerSettings } from './rig.ts'

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the parent is a test
const worker = await openWorker(JSON.parse(process.argv[2]!) as WorkerSettings)
process.stdout.write(`ready ${worker.port}\n`)
