// Everything at once for half an hour: do processes keep memory, file handles or connections, and is anything lost?
//   bun run soak -- [--minutes 30] [--seed N] [--write] [--samples FILE]
// --write keeps the result in reliability/soak.json. The exit code is 1 after a violation; what the run could not decide
// is listed beside them.
import { parseArgs } from 'node:util'
import { openDatabase } from '../../src/db/client.ts'
import { openRedis } from '../../src/redis/connection.ts'
import { createLog } from '../../src/log.ts'
import { s3Storage } from '../../src/storage/s3.ts'
import { machineFacts } from '../../bench/machine.ts'
import { settle } from '../chaos/recovery.ts'
import { variantEnvironment } from '../chaos/variants.ts'
import { createApi } from '../oracle/api.ts'
import { workersSettled } from '../oracle/notices.ts'
import { startCluster } from '../support/cluster.ts'
import { startS3Server } from '../support/s3-server.ts'
import { startSmtp } from '../support/smtp.ts'
import { eventually } from '../support/eventually.ts'
import { driftOf } from '../oracle/drift.ts'
import { deliverAll } from '../oracle/mails.ts'
import { checkSoak } from './checks.ts'
import { soakReport, type SoakReport } from './report.ts'
import { cpuShares, cpuUse, takeSample, type Sample } from './samples.ts'
import { fillPools, registerPeople, startPhase, usualSizes, type Phase } from './scene.ts'

const { values } = parseArgs({
  args: process.argv.slice(2),
  options: {
    minutes: { type: 'string', default: '30' },
    seed: { type: 'string' },
    write: { type: 'boolean', default: false },
    samples: { type: 'string' },
  },
})
const minutes = Number(values.minutes)
const seed = Number(values.seed ?? Math.floor(Math.random() * 1e9))
const loadMs = minutes * 60_000
/**
 * Opens pools, fills caches, compiles code: the baseline is measured after it. After six minutes the resident memory of a
 * worker still rose, by 3 MiB in 45 minutes of the load; after ten it did not.
 */
const warmMs = Math.min(600_000, loadMs / 3)
/** Calls of the warm-up for each of the load: code that is still being compiled would show as a slope. */
const warmPace = 5
const sampleEveryMs = 10_000
/** Idle connections of clients are closed after 60 s. */
const restMs = Math.min(75_000, loadMs)
const settleMs = 120_000
const startedAt = performance.now()

const report = (line: string): void =>
  console.error(`${((performance.now() - startedAt) / 1000).toFixed(1).padStart(7)} s  ${line}`)

const end = async (phase: Phase): Promise<void> => {
  await phase.stop()
  for (const follower of phase.followers) follower.settle()
}

const run = async (): Promise<SoakReport> => {
  report(`seed ${seed}, ${minutes} minutes of load`)
  const machine = machineFacts()
  await using stack = new AsyncDisposableStack()
  const smtp = stack.use(await startSmtp())
  const s3 = stack.use(await startS3Server())
  const cluster = stack.use(
    await startCluster({
      servers: 2,
      workers: 1,
      environment: { ...variantEnvironment('inspected'), ...s3.environment(), SMTP_URL: smtp.url },
      report,
    }),
  )
  const log = createLog('soak', 'silent')
  const db = stack.use(
    openDatabase({
      url: cluster.databaseUrl,
      max: 1,
      applicationName: 'soak',
      log,
      deadlineMs: 60_000,
      statementTimeoutMs: 60_000,
    }),
  )
  const redis = stack.use(openRedis(cluster.redisUrl, 'request', log)).client
  const storage = stack.use(s3Storage(s3.settings(), '/tmp', log))
  const api = createApi(cluster)
  const people = await registerPeople(api, db, usualSizes.people)
  const scene = { api, cluster, people, sizes: usualSizes }
  const sources = { cluster, db, redis, startedAt }

  report(`warming up for ${warmMs / 1000} s`)
  const pace = { ...usualSizes, everyMs: usualSizes.everyMs / warmPace }
  const warm = await startPhase('warm', { ...scene, sizes: pace, seed: seed + 1 })
  await Bun.sleep(warmMs)
  await fillPools(api, people, warm.projects.at(-1)!.id)
  await end(warm)
  await settle(db, warm.followers, settleMs)
  for (const follower of warm.followers) follower.stop()
  await workersSettled(db, settleMs)
  await deliverAll(db, smtp, settleMs)
  report(`resting for ${restMs / 1000} s`)
  await Bun.sleep(restMs)
  const baseline = await takeSample(sources)
  report(`baseline ${summary(baseline)}`)

  const pids = [...cluster.servers, ...cluster.workers].map(({ pid }) => pid)
  const pidsOfAll = [...pids, cluster.postgres.pid, cluster.redis.pid, s3.pid, process.pid]
  const cpuBefore = await cpuUse(pidsOfAll)
  const before = { ...api.counts }
  const phase = await startPhase('soak', { ...scene, seed })
  const samples: Sample[] = []
  let drifts = 0
  const loadStartedAt = performance.now()
  while (performance.now() - loadStartedAt < loadMs) {
    await Bun.sleep(sampleEveryMs)
    samples.push(await takeSample(sources))
    if (samples.length % 6 === 0) {
      drifts += await driftOf(db, phase.projects)
      report(summary(samples.at(-1)!))
    }
  }
  const seconds = (performance.now() - loadStartedAt) / 1_000
  const cpu = cpuShares(cpuBefore, await cpuUse(pidsOfAll))
  const requests = api.counts.requests - before.requests
  report('the load ends')
  await end(phase)
  await settle(db, phase.followers, settleMs)
  for (const follower of phase.followers) follower.stop()
  await workersSettled(db, settleMs)
  await deliverAll(db, smtp, settleMs)
  const checks = await checkSoak(phase, {
    db,
    retries: api.counts.retries - before.retries,
    smtp,
    storage,
    cluster,
    drifts,
  })

  report(`waiting up to ${(2 * restMs) / 1000} s for handles and connections`)
  let rest = await takeSample(sources)
  const isBack = (): boolean =>
    rest.postgresConnections <= baseline.postgresConnections &&
    rest.redisConnections <= baseline.redisConnections &&
    Object.entries(rest.processes).every(
      ([name, { handles }]) => handles <= baseline.processes[name]!.handles,
    )
  await eventually(
    async () => {
      if (isBack()) return
      rest = await takeSample(sources)
      if (!isBack()) throw new Error('not back at the baseline')
    },
    { timeoutMs: 2 * restMs, everyMs: 5_000 },
  ).catch(() => {}) // the report compares
  report(`rest ${summary(rest)}`)
  if (values.samples) await Bun.write(values.samples, JSON.stringify({ baseline, samples, rest }))
  return soakReport({ machine, seed, minutes, seconds, requests, cpu, baseline, samples, rest, checks })
}

const summary = ({ processes, postgresConnections, redisConnections }: Sample): string =>
  [
    ...Object.entries(processes).map(
      ([name, { heapBytes, residentBytes, handles }]) =>
        `${name}: heap ${(heapBytes / 2 ** 20).toFixed(1)}, resident ${(residentBytes / 2 ** 20).toFixed(1)} MiB, ${handles} handles`,
    ),
    `PostgreSQL ${postgresConnections}, Redis ${redisConnections} connections`,
  ].join('; ')

const result = await run()
if (values.write)
  await Bun.write(
    new URL('../../reliability/soak.json', import.meta.url),
    `${JSON.stringify(result, null, 2)}\n`,
  )
console.log(JSON.stringify(result, null, 2))
for (const line of result.undecided) console.error(`? undecided: ${line}`)
for (const line of result.violations) console.error(`✗ ${line}`)
process.exit(result.violations.length === 0 ? 0 : 1)
