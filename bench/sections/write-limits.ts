// The limits of writes: pgbench with the statements of one write, and Redis alone, over as many connections as the server
// has.
import type { Sample, Subject } from '../context.ts'
import { cpuPerRequest, type PartTimes } from '../installation.ts'
import { runPgbench, type PgbenchScript } from '../load/pgbench.ts'
import { findRedisBenchmark, runRedisBenchmark } from '../load/redis-benchmark.ts'
import type { Plan } from '../plan.ts'
import { familyCpuMs } from '../processes.ts'
import { percentilesOf } from '../statistics.ts'
import type { Workbench } from '../workbench.ts'

export const noPgbench = 'no limit: pgbench is not installed (Debian: postgresql-contrib)'

const poolSize = 16
/** Commands of one measurement, per second that it should take. */
const redisRate = 30_000

/** Those whose program is installed. */
export const limitSubjects = async (bench: Workbench, { seconds }: Plan): Promise<Subject[]> => {
  const redisBenchmark = await findRedisBenchmark()
  const pgbench = (id: string, script: PgbenchScript, clients: number): Subject => ({
    id,
    run: () => samplePgbench(bench, script, clients, seconds),
  })
  const redis = (program: NonNullable<typeof redisBenchmark>): Subject => ({
    id: 'redis',
    run: async () => {
      const requests = Math.round(seconds * redisRate)
      return { ...nothing, ...(await runRedisBenchmark(program, bench.cluster.redisUrl, requests)) }
    },
  })
  return [
    ...(bench.pgbench === null
      ? []
      : [
          pgbench('pgbench-create', 'create', poolSize),
          pgbench('pgbench-change', 'change', poolSize),
          pgbench('pgbench-alone', 'create', 1),
        ]),
    ...(redisBenchmark === null ? [] : [redis(redisBenchmark)]),
  ]
}

const nothing = { latency: percentilesOf([]), failed: 0, series: [], cpuUs: null, generatorCpu: Number.NaN }

const samplePgbench = async (
  { cluster, pgbench }: Workbench,
  script: PgbenchScript,
  clients: number,
  seconds: number,
): Promise<Sample> => {
  const times = (): PartTimes => {
    const none = { server: 0, worker: 0, redis: 0 }
    return { ...none, postgresql: familyCpuMs(cluster.postgres.pid) }
  }
  const before = times()
  const result = await runPgbench(pgbench!, script, { clients, seconds })
  const took = result.answered / result.perSecond
  return {
    ...result,
    series: [],
    cpuUs: cpuPerRequest(before, times(), result.answered),
    generatorCpu: result.generatorCpuMs / 1000 / took,
  }
}
