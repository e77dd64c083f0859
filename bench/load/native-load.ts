// HTTP load by this project's own client. Closed loop: each connection sends when it was answered. Open loop: requests
// are due at a fixed rate whether or not answers come, wait for a free connection, and count from when they were due, so
// that a stall of the server is seen by every request it delays.
import { percentile, percentilesOf } from '../statistics.ts'
import { HttpConnection, type Answer } from './http-connection.ts'
import { shareOf, type HttpRequest, type LoadJob, type LoadResult } from './job.ts'

/** After the end, for what is still due. */
const lateMs = 2_000
const maxTimes = 2_000_000

export const bytesOf = ({ method, path, headers, body }: HttpRequest, host: string): Buffer => {
  const given = { ...headers, ...(body !== undefined && { 'content-length': Buffer.byteLength(body) }) }
  const lines = Object.entries(given).map(([name, value]) => `${name}: ${value}\r\n`)
  return Buffer.from(`${method} ${path} HTTP/1.1\r\nhost: ${host}\r\n${lines.join('')}\r\n${body ?? ''}`)
}

/** In a body: replaced, when it is sent, by the epoch milliseconds at which the request was due. */
export const dueTime = '0000000000000.000'

interface Encoded {
  bytes: Buffer
  /** Where `dueTime` begins; -1 without. */
  dueAt: number
}

class Counts {
  readonly statuses: Record<string, number> = {}
  readonly times: number[] = []
  readonly firstBytes: number[] = []
  readonly series: number[] = []
  bytes = 0
  answered = 0
  other = 0
  lastAt = 0

  constructor(
    private readonly expected: number,
    private readonly startedAt: number,
  ) {}

  add(answer: Answer, dueAt: number, sentAt: number): void {
    this.statuses[answer.status] = (this.statuses[answer.status] ?? 0) + 1
    if (answer.status !== this.expected) return void (this.other += 1)
    this.answered += 1
    this.bytes += answer.bytes
    this.lastAt = answer.endedAt
    const second = Math.floor((answer.endedAt - this.startedAt) / 1000)
    this.series[second] = (this.series[second] ?? 0) + 1
    if (this.times.length >= maxTimes) return
    this.times.push(answer.endedAt - dueAt)
    this.firstBytes.push(answer.firstByteAt - sentAt)
  }
}

export const runNative = async (job: LoadJob): Promise<LoadResult> => {
  const origin = new URL(job.url)
  const before = process.cpuUsage()
  const all = job.requests.map((request): Encoded => {
    const bytes = bytesOf(request, origin.host)
    return { bytes, dueAt: bytes.indexOf(dueTime) }
  })
  const lanes = Array.from({ length: job.connections }, (_, index) => ({
    connection: new HttpConnection(origin),
    requests: shareOf(all, index, job.connections),
    next: 0,
  }))
  const startedAt = performance.now()
  const endsAt = startedAt + job.seconds * 1000
  const counts = new Counts(job.expect, startedAt)
  const sweep = setInterval(() => lanes.forEach(({ connection }) => connection.sweep(performance.now())), 500)
  const late = await (job.perSecond === undefined
    ? closedLoop(lanes, endsAt, counts)
    : openLoop(lanes, startedAt, endsAt, job.perSecond, counts))
  clearInterval(sweep)
  for (const { connection } of lanes) connection.close()
  const { user, system } = process.cpuUsage(before)
  const seconds = (Math.max(counts.lastAt, endsAt) - startedAt) / 1000
  return {
    answered: counts.answered,
    perSecond: counts.answered / seconds,
    failed: counts.other,
    late,
    statuses: counts.statuses,
    latency: percentilesOf(counts.times),
    series: Array.from(counts.series, (count) => count ?? 0).slice(0, Math.floor(job.seconds)),
    generatorCpuMs: (user + system) / 1000,
    seconds,
    bytes: counts.bytes,
    firstByteMs: percentile(counts.firstBytes, 0.5),
  }
}

interface Lane {
  connection: HttpConnection
  requests: Encoded[]
  next: number
}

const sendNext = (lane: Lane, dueAt: number, onAnswer: (answer: Answer) => void): void => {
  lane.next += 1
  const request = lane.requests[lane.next % lane.requests.length]!
  if (request.dueAt >= 0) request.bytes.write((performance.timeOrigin + dueAt).toFixed(3), request.dueAt)
  lane.connection.send(request.bytes, onAnswer)
}

/** Resolves with 0: what was sent is answered or failed. */
const closedLoop = (lanes: Lane[], endsAt: number, counts: Counts): Promise<number> => {
  const loop = (lane: Lane): Promise<void> =>
    new Promise((resolve) => {
      const again = (): void => {
        const sentAt = performance.now()
        if (sentAt >= endsAt) return resolve()
        sendNext(lane, sentAt, (answer) => {
          counts.add(answer, sentAt, sentAt)
          // A connection that was refused would be tried again in the same tick, without end.
          if (answer.status === 0) setTimeout(again, 5)
          else again()
        })
      }
      again()
    })
  return Promise.all(lanes.map(loop)).then(() => 0)
}

/** Resolves with the number of requests that were due and not answered. */
const openLoop = async (
  lanes: Lane[],
  startedAt: number,
  endsAt: number,
  perSecond: number,
  counts: Counts,
): Promise<number> => {
  const total = Math.round(((endsAt - startedAt) / 1000) * perSecond) // the difference may be 499.99999999
  const free = [...lanes]
  const count = { due: 0, sent: 0, running: 0 }
  const dueAtOf = (index: number): number => startedAt + (index * 1000) / perSecond
  const dispatch = (): void => {
    while (count.sent < count.due && free.length > 0) {
      const lane = free.shift()! // in turn, so that every request gets its share
      const dueAt = dueAtOf(count.sent)
      const sentAt = performance.now()
      count.sent += 1
      count.running += 1
      sendNext(lane, dueAt, (answer) => {
        counts.add(answer, dueAt, sentAt)
        count.running -= 1
        free.push(lane)
        dispatch()
      })
    }
  }
  while (count.due < total || count.running > 0 || count.sent < count.due) {
    const now = performance.now()
    if (now > endsAt + lateMs) break
    count.due = Math.min(total, Math.floor(((now - startedAt) / 1000) * perSecond) + 1)
    dispatch()
    await Bun.sleep(1)
  }
  return total - count.sent + count.running
}
