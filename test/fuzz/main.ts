// Requests drawn from the OpenAPI document against a server, a worker, PostgreSQL, Redis and S3 storage. The exit code is
// 1 after any violation.
//   bun run fuzz [--requests N] [--seed N] [--only REGEXP] [--json FILE] [--keep]
// --keep: adds the figures to reliability/fuzz.json, which docs/reliability.md shows.
import { parseArgs } from 'node:util'
import { openDatabase } from '../../src/db/client.ts'
import { createLog } from '../../src/log.ts'
import { ExitWatch } from '../chaos/exit-watch.ts'
import { startCluster } from '../support/cluster.ts'
import { startS3Server } from '../support/s3-server.ts'
import { checkAfter } from './after.ts'
import { fuzz } from './run.ts'
import { keepResult, printResult, toJson } from './table.ts'

const { values } = parseArgs({
  args: process.argv.slice(2),
  options: {
    requests: { type: 'string', default: '50000' },
    seed: { type: 'string' },
    only: { type: 'string' },
    json: { type: 'string' },
    keep: { type: 'boolean', default: false },
  },
})
const seed = Number(values.seed ?? Math.floor(Math.random() * 1e9))
const startedAt = performance.now()
const report = (line: string): void => {
  console.error(`${((performance.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${line}`)
}

const run = async (): Promise<boolean> => {
  report(`seed ${seed}`)
  await using stack = new AsyncDisposableStack()
  const s3 = stack.use(await startS3Server())
  const cluster = stack.use(
    await startCluster({ servers: 1, workers: 1, environment: s3.environment(), report }),
  )
  const db = stack.use(
    openDatabase({
      url: cluster.databaseUrl,
      max: 2,
      applicationName: 'fuzz',
      log: createLog('fuzz', 'warn'),
      deadlineMs: 60_000,
      statementTimeoutMs: 60_000,
    }),
  )
  const after: string[] = []
  stack.defer(new ExitWatch().watch(cluster, (line) => after.push(line)))
  const [server] = cluster.servers
  const result = await fuzz({
    url: server!.url,
    seed,
    requests: Number(values.requests),
    ...(values.only !== undefined && { only: new RegExp(values.only) }),
    promote: (userId) =>
      db.transact(async (tx) => void (await tx`update users set role = 'admin' where id = ${userId}`)),
    report,
  })
  const ready = await fetch(`${server!.url}/readyz`)
  if (ready.status !== 200) after.push(`/readyz answers ${ready.status}: ${await ready.text()}`)
  after.push(...(await checkAfter(db, result)), ...(await cluster.errorsLogged()))
  printResult(result)
  for (const line of after) console.log(line)
  if (values.json !== undefined)
    await Bun.write(values.json, `${JSON.stringify({ ...toJson(result), after }, null, 2)}\n`)
  if (values.keep) await keepResult(result, after.length)
  report(
    `${result.requests} requests in ${Math.round(result.seconds)} s: ${result.violations.length} violations, ${after.length} faults after the run`,
  )
  return result.violations.length === 0 && after.length === 0
}

process.exit((await run()) ? 0 : 1)
