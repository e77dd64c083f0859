// A job runner in a process of its own, which tests kill or stop. The first argument is its rig as JSON. Prints
// `acting <key>` when an attempt has begun; the attempt ends when a line arrives on its input. Prints `superseded` when it
// has lost its fence.
import { openJobs, processorOf, type JobRig } from './rig.ts'

const input = Bun.stdin.stream().getReader()

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the parent is a test
const { stats } = await openJobs(JSON.parse(process.argv[2]!) as JobRig, [
  processorOf(async ([key]) => {
    process.stdout.write(`acting ${key}\n`)
    await input.read()
  }, 'child'),
])
setInterval(() => stats.superseded > 0 && process.stdout.write('superseded\n'), 50)
