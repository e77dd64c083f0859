// What an installation costs when nothing happens, and how fast it is there: resident memory of idle processes, `up` on
// data that exists, and a server alone.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Context, Section } from '../context.ts'
import { residentBytes } from '../processes.ts'
import type { Row } from '../row.ts'
import { median, rounded } from '../statistics.ts'

export const startRows = [
  {
    id: 'idle-memory',
    title: 'resident memory, idle server and worker together',
    targets: [{ figure: 'togetherMb', atMost: 200 }],
  },
  {
    id: 'warm-start',
    title: 'warm start of `up` until it is ready',
    targets: [{ figure: 'readySeconds', atMost: 2 }],
  },
  {
    id: 'server-start',
    title: 'start of a server alone',
    targets: [{ figure: 'readySeconds', atMost: 0.5 }],
  },
] as const satisfies Row[]

const idleMs = 3_000
const root = join(import.meta.dir, '..', '..')
const startTimeoutMs = 60_000

const run = async (context: Context): Promise<void> => {
  if (context.wants('idle-memory', 'server-start')) await server(context)
  if (context.wants('warm-start')) await warmStart(context)
}

const server = async (context: Context): Promise<void> => {
  const { plan } = context
  await using cluster = await context.install({ environment: { BUN_OPTIONS: '' } })
  const [one, worker] = [cluster.servers[0]!, cluster.workers[0]!]
  await Bun.sleep(idleMs)
  const [ofServer, ofWorker] = [residentBytes(one.pid) / 1e6, residentBytes(worker.pid) / 1e6]
  context.add({
    row: 'idle-memory',
    figures: {
      togetherMb: Math.round(ofServer + ofWorker),
      serverMb: Math.round(ofServer),
      workerMb: Math.round(ofWorker),
    },
    failed: 0,
    notes: [],
  })
  const times: number[] = []
  for (let start = 0; start < plan.starts; start += 1) {
    await one.stop()
    const began = performance.now()
    await one.start()
    times.push((performance.now() - began) / 1000)
  }
  context.add({
    row: 'server-start',
    figures: { readySeconds: rounded(median(times)) },
    failed: 0,
    notes: [`median of ${times.length}`],
  })
}

/** `up` as a user runs it, on data of its own; the first start creates them and does not count. */
const warmStart = async (context: Context): Promise<void> => {
  const { plan, report } = context
  const dataDir = await mkdtemp(join(tmpdir(), 'tide-bench-up-'))
  try {
    const times: number[] = []
    for (let start = 0; start <= plan.starts; start += 1) {
      report(start === 0 ? 'up on empty data' : `up, warm: ${start} of ${plan.starts}`)
      times.push(await timeToReady(dataDir))
    }
    context.add({
      row: 'warm-start',
      figures: { readySeconds: rounded(median(times.slice(1))), coldSeconds: rounded(times[0]!) },
      failed: 0,
      notes: [`median of ${plan.starts}; the packages are installed`],
    })
  } finally {
    await rm(dataDir, { recursive: true, force: true })
  }
}

const timeToReady = async (dataDir: string): Promise<number> => {
  const { PATH, HOME } = process.env
  const began = performance.now()
  const child = Bun.spawn(['node', join(root, 'bin', 'tasktide.mjs'), 'up', '--json'], {
    cwd: root,
    env: { ...(PATH && { PATH }), ...(HOME && { HOME }), TIDE_DATA: dataDir },
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const timer = setTimeout(() => child.kill(), startTimeoutMs)
  try {
    const { value } = await child.stdout.getReader().read()
    if (value === undefined || !new TextDecoder().decode(value).startsWith('{"ready":true'))
      throw new Error('`up` did not become ready')
    return (performance.now() - began) / 1000
  } finally {
    clearTimeout(timer)
    child.kill('SIGINT')
    await child.exited
  }
}

export const startSection: Section = { name: 'starts', rows: startRows, run }
