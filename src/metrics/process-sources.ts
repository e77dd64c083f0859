// What every process exposes of itself.
import type { Source } from './exposition.ts'

/** @param version of the program. */
export const processSources = (version: string) => {
  const startedAt = Date.now() / 1000 - process.uptime()
  return {
    process_cpu_seconds_total: () => {
      const { user, system } = process.cpuUsage()
      return [
        { labels: { mode: 'user' }, value: user / 1e6 },
        { labels: { mode: 'system' }, value: system / 1e6 },
      ]
    },
    process_resident_memory_bytes: () => process.memoryUsage.rss(),
    process_start_time_seconds: () => startedAt,
    tasktide_build_info: () => [{ labels: { version, runtime: `bun ${Bun.version}` }, value: 1 }],
  } satisfies Record<string, Source>
}
