// The process that makes HTTP load: one job at a time over IPC, answered with its result. It stays between jobs, so that
// its code is compiled when it counts.
import autocannon from 'autocannon'
import { shareOf, type LoadJob, type LoadResult } from './job.ts'
import { percentilesOf } from '../statistics.ts'
import { runNative } from './native-load.ts'

/** Seconds after which a request counts as timed out. */
const timeoutSeconds = 30

// What @types/autocannon leaves out.
type Result = Omit<autocannon.Result, 'statusCodeStats'> & {
  statusCodeStats: Record<string, { count: number }>
}
interface Events {
  on(event: 'tick', listener: (tick: { counter: number }) => void): void
  on(event: 'response', listener: (client: unknown, status: number, bytes: number, ms: number) => void): void
}

const runAutocannon = async (job: LoadJob): Promise<LoadResult> => {
  const { url, connections, seconds, requests, expect } = job
  const before = process.cpuUsage()
  const series: number[] = []
  let connection = 0
  const ended = Promise.withResolvers<Result>()
  const options = {
    url,
    connections,
    duration: seconds,
    timeout: timeoutSeconds,
    sampleInt: Math.min(1_000, seconds * 1_000), // it ends with a sample
    setupClient(client: unknown) {
      // @types/autocannon does not know that the requests of a client may be set here.
      const own = client as { setRequests(requests: LoadJob['requests']): void }
      own.setRequests(shareOf(requests, connection, connections))
      connection += 1
    },
  }
  const times: number[] = []
  const running: unknown = autocannon(options, (error: unknown, result: unknown) =>
    error ? ended.reject(error) : ended.resolve(result as Result),
  )
  const events = running as Events
  events.on('tick', ({ counter }) => series.push(counter))
  // Its own histogram counts whole milliseconds.
  events.on('response', (_client, _status, _bytes, ms) => times.push(ms))
  const result = await ended.promise
  const { user, system } = process.cpuUsage(before)
  const { duration } = result
  const statuses = Object.fromEntries(
    Object.entries(result.statusCodeStats).map(([status, { count }]) => [status, count]),
  )
  const answered = statuses[expect] ?? 0
  const others = Object.values(statuses).reduce((sum, count) => sum + count, 0) - answered
  return {
    answered,
    perSecond: answered / duration,
    failed: others + result.errors + result.timeouts,
    late: 0,
    statuses,
    latency: percentilesOf(times),
    series: series.slice(0, Math.floor(seconds)), // without a part of a second at the end
    generatorCpuMs: (user + system) / 1000,
    seconds: duration,
    bytes: 0,
    firstByteMs: Number.NaN,
  }
}

process.on('message', ({ id, job }: { id: number; job: LoadJob }) => {
  const run = job.with === 'autocannon' ? runAutocannon(job) : runNative(job)
  run.then(
    (result) => process.send!({ id, result }),
    (error: unknown) => process.send!({ id, error: String(error) }),
  )
})
process.on('disconnect', () => process.exit())
