// Samples of what processes hold: memory after a garbage collection, file handles, connections to PostgreSQL and Redis,
// and the CPU they used.
import { readdir, readFile } from 'node:fs/promises'
import { cpus } from 'node:os'
import type { Database } from '../../src/db/client.ts'
import type { Redis } from '../../src/redis/connection.ts'
import { inspect, type Inspection } from '../chaos/inspection.ts'
import type { Role } from '../support/cluster.ts'
import type { Cluster } from '../support/cluster.ts'

export interface ProcessSample extends Pick<
  Inspection,
  'heapBytes' | 'objects' | 'types' | 'compiledFunctions'
> {
  /** Of the process itself: its anonymous pages, without those of compiled code. */
  residentBytes: number
  /** Compiled code: pages that are both written and executed. */
  codeBytes: number
  handles: number
  /** Pages of files in memory, foremost of the executable: shared, and dropped by the system when it needs them. */
  fileBytes: number
}

export interface Sample {
  /** Since the start of the run. */
  seconds: number
  processes: Record<string, ProcessSample>
  postgresConnections: number
  redisConnections: number
}

export interface SampleSources {
  cluster: Cluster
  db: Database
  redis: Redis
  startedAt: number
}

/** Resident bytes of the anonymous mappings that may be written and executed, which only a compiler of a runtime has. */
const codeBytesOf = async (pid: number): Promise<number> => {
  let isCode = false
  let bytes = 0
  for (const line of (await readFile(`/proc/${pid}/smaps`, 'utf8')).split('\n')) {
    const mapping = /^[0-9a-f]+-[0-9a-f]+ (....)/.exec(line)
    if (mapping) isCode = mapping[1] === 'rwxp'
    else if (isCode && line.startsWith('Rss:')) bytes += 1024 * Number(/\d+/.exec(line)?.[0])
  }
  return bytes
}

const sampleProcess = async (role: Role): Promise<[name: string, sample: ProcessSample]> => {
  const handles = (await readdir(`/proc/${role.pid}/fd`)).length
  const { heapBytes, objects, types, compiledFunctions } = await inspect(role)
  const status = await readFile(`/proc/${role.pid}/status`, 'utf8')
  const bytesOf = (name: 'RssAnon' | 'RssFile'): number =>
    1024 * Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1])
  const codeBytes = await codeBytesOf(role.pid)
  const memory = {
    heapBytes,
    residentBytes: bytesOf('RssAnon') - codeBytes,
    codeBytes,
    fileBytes: bytesOf('RssFile'),
  }
  return [role.name, { ...memory, objects, types, compiledFunctions, handles }]
}

/** Each process collects garbage first. */
export const takeSample = async ({ cluster, db, redis, startedAt }: SampleSources): Promise<Sample> => {
  const processes = await Promise.all([...cluster.servers, ...cluster.workers].map(sampleProcess))
  const [row] = await db.read(
    (sql) => sql<{ count: number }[]>`
      select count(*)::int as count from pg_stat_activity
      where datname = current_database() and backend_type = 'client backend' and application_name <> 'soak'`,
  )
  const clients = /connected_clients:(\d+)/.exec(await redis.info('clients'))?.[1]
  return {
    seconds: Math.round((performance.now() - startedAt) / 100) / 10,
    processes: Object.fromEntries(processes),
    postgresConnections: row!.count,
    redisConnections: Number(clients),
  }
}

const ticksPerSecond = 100

/** CPU seconds of a process so far; 0 for one that is gone. */
const cpuSecondsOf = async (pid: number): Promise<number> => {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / ticksPerSecond
}

export interface CpuUse {
  seconds: number
  /** Of all processes of the machine. */
  machine: number
  /** Of the sampled ones. */
  own: number
}

/** CPU seconds since the boot, and those of processes. */
export const cpuUse = async (pids: readonly number[]): Promise<CpuUse> => {
  const [line = ''] = (await readFile('/proc/stat', 'utf8')).split('\n')
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = line
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number)
  const own = await Promise.all(pids.map(cpuSecondsOf))
  return {
    seconds: performance.now() / 1_000,
    machine: (user + nice + system + irq + softirq) / ticksPerSecond,
    own: own.reduce((sum, one) => sum + one, 0),
  }
}

/** Shares of all cores between two readings. */
export const cpuShares = (from: CpuUse, to: CpuUse): { machine: number; own: number } => {
  const capacity = (to.seconds - from.seconds) * cpus().length
  const share = (seconds: number): number => Math.round((seconds / capacity) * 100) / 100
  return { machine: share(to.machine - from.machine), own: share(to.own - from.own) }
}
