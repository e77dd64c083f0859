// The facts a report states about itself: the machine, and the settings that decide whether a comparison is fair, as
// PostgreSQL and the server's own environment have them, not as they are meant to be.
import { SQL } from 'bun'
import { cpus, loadavg, platform, release, totalmem } from 'node:os'

export interface Facts {
  machine: {
    cpu: string
    cores: number
    memoryGiB: number
    system: string
    bun: string
    commit: string
    /** Load of the machine when the run began: what else ran shows here. */
    loadAverage: number
  }
  settings: Record<string, string>
}

const durability = [
  'server_version',
  'fsync',
  'synchronous_commit',
  'full_page_writes',
  'wal_level',
  'shared_buffers',
  'max_connections',
] as const

/** PostgreSQL's own words. */
export const databaseSettings = async (databaseUrl: string): Promise<Record<string, string>> => {
  await using sql = new SQL({ url: databaseUrl, max: 1 })
  const rows: { name: string; setting: string; unit: string | null }[] = await sql`
    select name, setting, unit from pg_settings where name in ${sql([...durability])}`
  const settings = new Map(
    rows.map(({ name, setting, unit }) => [name, `${setting}${unit ? ` x ${unit}` : ''}`]),
  )
  const [unlogged]: { count: number }[] = await sql`
    select count(*)::int as count from pg_class where relkind in ('r', 'p') and relpersistence = 'u'`
  return {
    ...Object.fromEntries(durability.map((name) => [name, settings.get(name) ?? 'unknown'])),
    'unlogged tables': String(unlogged!.count),
  }
}

export const machineFacts = (): Facts['machine'] => ({
  cpu: cpus()[0]?.model ?? 'unknown',
  cores: cpus().length,
  memoryGiB: Math.round(totalmem() / 2 ** 30),
  system: `${platform()} ${release()}`,
  bun: Bun.version,
  commit: commit(),
  loadAverage: Math.round(loadavg()[0]! * 10) / 10,
})

/** Of the work tree, with `+` where it has changes; unknown without git. */
const commit = (): string => {
  const { stdout, exitCode } = Bun.spawnSync(['git', 'describe', '--always', '--dirty=+'], {
    stderr: 'ignore',
  })
  return exitCode === 0 ? stdout.toString().trim() : 'unknown'
}
