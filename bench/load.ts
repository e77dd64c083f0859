// One closed-loop load by autocannon, in a process of its own: takes a request as JSON, prints the result as JSON.
import autocannon from 'autocannon'

export interface LoadRequest {
  url: string
  connections: number
  seconds: number
  /** Sent in turn by every connection. */
  requests: { method: 'GET' | 'POST'; path: string; headers: Record<string, string>; body?: string }[]
}

export interface LoadResult {
  perSecond: number
  p50Ms: number
  p99Ms: number
  /** Answers that were no 2xx, errors and timeouts. */
  failed: number
}

const { url, connections, seconds, requests } = JSON.parse(process.argv[2]!) as LoadRequest
const result = await autocannon({ url, connections, duration: seconds, requests })
const answer: LoadResult = {
  perSecond: result['2xx'] / result.duration,
  p50Ms: result.latency.p50,
  p99Ms: result.latency.p99,
  failed: result.non2xx + result.errors + result.timeouts,
}
console.log(JSON.stringify(answer))
process.exit()
