// What is measured: a server and a worker of this source tree as processes of their own, with the settings a user has
// except for limits that are raised so far that they count but never refuse.
import { startCluster, type Cluster, type ClusterOptions } from '../test/support/cluster.ts'
import { join } from 'node:path'
import { familyCpuMs } from './processes.ts'

/** Processes whose CPU time is reported beside each row. */
export const parts = ['server', 'worker', 'postgresql', 'redis'] as const
export type Part = (typeof parts)[number]
export type PartTimes = Record<Part, number>

/** Over the defaults of a cluster: logs and limits are on, as by default; limits are out of reach. */
export const benchEnvironment = {
  RATE_LIMIT: 'on',
  LOG_LEVEL: 'info',
  RATE_LIMIT_REQUESTS: '10000000',
  RATE_LIMIT_REGISTRATIONS: '1000000',
  RATE_LIMIT_SIGN_INS: '1000000',
  RATE_LIMIT_UPLOADS: '1000000',
  RATE_LIMIT_WRITTEN_MIB: '1000000',
  SOCKETS_PER_USER: '100000',
  UPGRADES_PER_MINUTE: '1000000',
  MAX_CONNECTIONS: '20000',
  BUN_OPTIONS: `--preload ${join(import.meta.dir, 'servers', 'collect.ts')}`,
}

export const startInstallation = (
  options: Pick<ClusterOptions, 'report'> & Partial<ClusterOptions>,
): Promise<Cluster> =>
  startCluster({
    servers: 1,
    workers: 1,
    ...options,
    environment: { ...benchEnvironment, ...options.environment },
  })

/** The CPU time so far of a single process that stands for a server, milliseconds. */
export const cpuOfProcess = (pid: number): PartTimes => ({
  server: familyCpuMs(pid),
  worker: 0,
  postgresql: 0,
  redis: 0,
})

/** CPU time of each part so far, milliseconds. */
export const cpuOf = ({ servers, workers, postgres, redis }: Cluster): PartTimes => {
  const sum = (pids: number[]): number => pids.reduce((total, pid) => total + familyCpuMs(pid), 0)
  return {
    server: sum(servers.map(({ pid }) => pid)),
    worker: sum(workers.map(({ pid }) => pid)),
    postgresql: familyCpuMs(postgres.pid),
    redis: familyCpuMs(redis.pid),
  }
}

/** Microseconds of each part per request. */
export const cpuPerRequest = (before: PartTimes, after: PartTimes, requests: number): PartTimes => {
  const of = (part: Part): number => ((after[part] - before[part]) * 1000) / Math.max(1, requests)
  return { server: of('server'), worker: of('worker'), postgresql: of('postgresql'), redis: of('redis') }
}
