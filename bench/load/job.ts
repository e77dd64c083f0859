// What the process that makes HTTP load is asked for, and what it answers.
import type { Percentiles } from '../statistics.ts'

export interface HttpRequest {
  method: 'GET' | 'POST' | 'PATCH'
  path: string
  headers: Record<string, string>
  body?: string
}

export interface LoadJob {
  /**
   * `autocannon` is closed loop: each connection sends when it was answered. `native` is this project's own client, closed
   * loop too unless `perSecond` fixes the rate of arrivals, answers or not.
   */
  with: 'autocannon' | 'native'
  url: string
  connections: number
  seconds: number
  /** Divided among the connections, which send theirs in turn. */
  requests: readonly HttpRequest[]
  /** Every other status is a failure. */
  expect: number
  perSecond?: number
}

export interface LoadResult {
  /** Expected answers. */
  answered: number
  perSecond: number
  /** Other answers, and connections that ended without one. */
  failed: number
  /** Of an open loop: requests that were due and not answered two seconds after the end. */
  late: number
  statuses: Record<string, number>
  /** Milliseconds, of an open loop from when the request was due. */
  latency: Percentiles
  /** Answers of each whole second, for the plot. */
  series: number[]
  /** CPU time of the generator itself. */
  generatorCpuMs: number
  seconds: number
  /** Of the bodies, for rates in bytes; 0 from autocannon. */
  bytes: number
  /** Median from sending to the first byte of the answer; NaN from autocannon. */
  firstByteMs: number
}

/** The requests of one connection: every `connections`th of all, so that connections do not walk in step. */
export const shareOf = <T>(requests: readonly T[], connection: number, connections: number): T[] => {
  const own = requests.filter((_, index) => index % connections === connection)
  return own.length > 0 ? own : [requests[connection % requests.length]!]
}
