// Measures one server process against the limits of the machine it runs on, in one run, interleaved in rounds, so
// that every figure is a ratio that does not depend on the machine. Load comes from processes of its own.
//   bun run bench [sockets | fairness [attack …]] [--quick]
import { mkdir } from 'node:fs/promises'
import { cpus, totalmem } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startCluster } from '../test/support/cluster.ts'
import { measureFairness } from './fairness.ts'
import { populate, type Population } from './populate.ts'
import { measureLatency } from './latency.ts'
import { findPgbench, runPgbench } from './pgbench.ts'
import type { LoadRequest, LoadResult } from './load.ts'
import { measureSockets } from './sockets.ts'

const { values, positionals } = parseArgs({
  args: process.argv.slice(2),
  allowPositionals: true,
  options: { quick: { type: 'boolean', default: false } },
})
const plan = values.quick
  ? { rounds: 3, seconds: 3, tasks: 10_000, sockets: 200, latencySeconds: 8 }
  : { rounds: 5, seconds: 8, tasks: 10_000, sockets: 1_000, latencySeconds: 30 }

const startedAt = performance.now()
const report = (line: string): void => {
  console.error(`${((performance.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${line}`)
}

/** Closed-loop load from its own process: as fast as `connections` allow. */
const load = async (request: LoadRequest): Promise<LoadResult> => {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, 'load.ts'), JSON.stringify(request)], {
    stdout: 'pipe',
    stderr: 'inherit',
  })
  const text = await new Response(child.stdout).text()
  if ((await child.exited) !== 0) throw new Error('the load process failed')
  return JSON.parse(text) as LoadResult
}

interface Figure {
  name: string
  /** The reference and the least ratio of performance.md; none for the limits themselves. */
  against?: { name: string; target: number }
  run(seconds: number): Promise<LoadResult>
}

const figuresOf = (
  url: string,
  bareUrl: string,
  databaseUrl: string,
  pgbench: string | null,
  people: Population,
): Figure[] => {
  const get = (base: string, path: string, token?: string): ((seconds: number) => Promise<LoadResult>) => {
    return (seconds) =>
      load({
        url: base,
        connections: 32,
        seconds,
        requests: [{ method: 'GET', path, headers: token ? { authorization: `Bearer ${token}` } : {} }],
      })
  }
  const post = (users: Population['users']): ((seconds: number) => Promise<LoadResult>) => {
    const requests = users.map(({ token, projectId }) => ({
      method: 'POST' as const,
      path: '/api/tasks',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ projectId, title: 'Measure what the log costs', tags: ['bench'] }),
    }))
    return (seconds) => load({ url, connections: 64, seconds, requests })
  }
  const [first] = people.users
  return [
    { name: 'bare Bun.serve route', run: get(bareUrl, '/bun') },
    { name: 'bare Elysia route', run: get(bareUrl, '/elysia') },
    {
      name: 'GET /api/tasks/:id',
      against: { name: 'bare Elysia route', target: 0.4 },
      run: get(url, `/api/tasks/${people.taskId}`, first!.token),
    },
    {
      name: 'GET /api/tasks (20 of 10,000)',
      against: { name: 'bare Elysia route', target: 0.4 },
      run: get(url, `/api/tasks?projectId=${first!.projectId}`, first!.token),
    },
    ...(pgbench
      ? [
          {
            name: 'pgbench, same statement',
            run: (seconds: number) => runPgbench(pgbench, databaseUrl, seconds),
          },
        ]
      : []),
    {
      name: 'POST /api/tasks, 50 users',
      ...(pgbench && { against: { name: 'pgbench, same statement', target: 1.5 } }),
      run: post(people.users),
    },
    {
      name: 'POST /api/tasks, 1 user',
      against: { name: 'POST /api/tasks, 50 users', target: 0.9 },
      run: post(people.users.slice(0, 1)),
    },
  ]
}

const median = (numbers: number[]): number =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN

const run = async (): Promise<void> => {
  await using stack = new AsyncDisposableStack()
  const cluster = stack.use(await startCluster({ servers: 1, workers: 1, report }))
  const { url } = cluster.servers[0]!
  const bare = Bun.spawn([process.execPath, join(import.meta.dir, 'bare.ts')], {
    stdout: 'pipe',
    stderr: 'inherit',
  })
  stack.defer(async () => {
    bare.kill()
    await bare.exited
  })
  const reader = bare.stdout.getReader()
  const bareUrl = new TextDecoder().decode((await reader.read()).value).trim()
  report(`making 50 users and ${plan.tasks} tasks`)
  const people = await populate(url, plan.tasks)
  const pgbench = findPgbench()
  const figures = figuresOf(url, bareUrl, cluster.databaseUrl, pgbench, people)
  const rates = new Map<string, LoadResult[]>(figures.map(({ name }) => [name, []]))
  for (let round = 1; round <= plan.rounds; round += 1) {
    report(`round ${round} of ${plan.rounds}`)
    for (const figure of figures) rates.get(figure.name)!.push(await figure.run(plan.seconds))
  }
  report(`commit to socket: 200 writes/s, ${plan.sockets} sockets`)
  const latency = await measureLatency(url, people.users[0]!, {
    sockets: plan.sockets,
    seconds: plan.latencySeconds,
    writesPerSecond: 200,
  })

  const rateOf = (name: string): number => median(rates.get(name)!.map((result) => result.perSecond))
  const rows = figures.map(({ name, against }) => {
    const results = rates.get(name)!
    const ratio =
      against &&
      median(results.map((result, index) => result.perSecond / rates.get(against.name)![index]!.perSecond))
    return {
      name,
      perSecond: Math.round(rateOf(name)),
      p99Ms: Math.round(median(results.map((result) => result.p99Ms)) * 100) / 100,
      failed: results.reduce((sum, result) => sum + result.failed, 0),
      ...(against && {
        ratio: Math.round(ratio! * 100) / 100,
        against: against.name,
        target: against.target,
      }),
    }
  })
  await keep('report.json', { plan, rows, latency })
  print(rows, latency, pgbench)
  console.log(
    `\n${cpus().length} cores shared by load, server, worker, PostgreSQL and Redis; medians of ${plan.rounds} rounds of ${plan.seconds} s.`,
  )
  const failed = rows.reduce((sum, row) => sum + row.failed, 0) + latency.lost
  if (failed > 0) throw new Error(`${failed} requests failed or events were lost`)
}

/** Writes the figures and the facts of the machine below `results`. */
const keep = async (file: string, measured: object): Promise<void> => {
  const machine = {
    cpu: cpus()[0]?.model,
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    bun: Bun.version,
  }
  const folder = join(import.meta.dir, 'results', new Date().toISOString().slice(0, 10))
  await mkdir(folder, { recursive: true })
  await Bun.write(join(folder, file), JSON.stringify({ machine, ...measured }, null, 2))
}

interface Row {
  name: string
  perSecond: number
  p99Ms: number
  failed: number
  ratio?: number
  against?: string
  target?: number
}

const print = (
  rows: Row[],
  latency: Awaited<ReturnType<typeof measureLatency>>,
  pgbench: string | null,
): void => {
  console.log(`${'figure'.padEnd(32)}${'per second'.padStart(11)}${'p99 ms'.padStart(9)}   ratio`)
  for (const row of rows) {
    const ratio =
      row.ratio === undefined ? '' : `${row.ratio.toFixed(2)} x ${row.against} (target ${row.target})`
    console.log(
      `${row.name.padEnd(32)}${String(row.perSecond).padStart(11)}${(Number.isNaN(row.p99Ms) ? '-' : row.p99Ms.toFixed(2)).padStart(9)}   ${ratio}`,
    )
  }
  if (!pgbench)
    console.log('pgbench is not installed (Debian: postgresql-contrib or postgresql-15): no limit for writes')
  console.log(
    `commit to socket: p50 ${latency.p50Ms} ms, p99 ${latency.p99Ms} ms, max ${latency.maxMs} ms (${latency.events} events to ${latency.sockets} sockets; targets 2 and 20)`,
  )
}

const runSockets = async (): Promise<void> => {
  const figures = await measureSockets(values.quick, report)
  await keep('sockets.json', { figures })
  const width = Math.max(...figures.map(({ name }) => name.length))
  for (const { name, value, target } of figures)
    console.log(`${name.padEnd(width)}  ${value}${target === '-' ? '' : ` (target: ${target})`}`)
}

const runFairness = async (): Promise<void> => {
  const rows = await measureFairness(values.quick ? 4 : 10, positionals.slice(1), report)
  await keep('fairness.json', { rows })
  console.log(
    `${'attack'.padEnd(11)}${'p50 ms'.padStart(15)}${'p99 ms'.padStart(17)}${'ratio'.padStart(8)}${'failed'.padStart(8)}${'memory'.padStart(10)}   answers`,
  )
  for (const { attack, quiet, beside, grownMb, answers } of rows)
    console.log(
      `${attack.padEnd(11)}${`${quiet.p50Ms} → ${beside.p50Ms}`.padStart(15)}${`${quiet.p99Ms} → ${beside.p99Ms}`.padStart(17)}${`${(beside.p99Ms / quiet.p99Ms).toFixed(1)} x`.padStart(8)}${String(beside.failed).padStart(8)}${`+${grownMb} MB`.padStart(10)}   ${JSON.stringify(answers)}`,
    )
}

const parts: Record<string, () => Promise<void>> = { sockets: runSockets, fairness: runFairness }
await (parts[positionals[0] ?? ''] ?? run)()
process.exit()
