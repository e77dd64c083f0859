// What the sections about sockets share: seats of users, waiting for events, and writes at a fixed rate.
import { eventually } from '../../test/support/eventually.ts'
import type { Seat, Swarm, SwarmReport } from '../../test/support/swarm.ts'
import type { Context } from '../context.ts'
import type { HttpRequest, LoadResult } from '../load/job.ts'
import { dueTime } from '../load/native-load.ts'
import type { Person } from '../people.ts'

/** Handshakes of one swarm in progress: its own process is the limit above that. */
export const atOnce = 100

export const seatOf = ({ token, projectId }: Pick<Person, 'token' | 'projectId'>): Seat => ({
  token,
  scope: `project:${projectId}`,
  cursor: null,
})

/** @param written events of requests; what the worker appends beside them does not count. */
export const untilReceived = (swarm: Swarm, written: number, timeoutMs = 30_000): Promise<void> =>
  eventually(
    async () => {
      const report = await swarm.report()
      if (report.written < written) throw new Error(`${report.written} of ${written} frames came`)
    },
    { timeoutMs, everyMs: 20 },
  )

/**
 * What a swarm received wrongly, when its sockets have received `written` events of requests and all of a scope the same
 * number, or after `timeoutMs`. Events beyond `written` are on their way meanwhile: writes whose answers came too late to
 * count. Until they have reached every socket, the sockets differ without a loss.
 */
export const wrongDeliveries = async (
  swarm: Swarm,
  written: number,
  timeoutMs = 30_000,
): Promise<WrongDeliveries> =>
  eventually(
    async () => {
      const wrong = wrongIn(await swarm.report(), written)
      if (wrong.lost + wrong.uneven > 0) throw new Error(`${wrong.lost} lost, ${wrong.uneven} uneven`)
      return wrong
    },
    { timeoutMs, everyMs: 20 },
  ).catch(async () => wrongIn(await swarm.report(), written))

export interface WrongDeliveries {
  /** Written events that no socket or not every socket received. */
  lost: number
  /**
   * Sum over the scopes: written events that one socket received and another did not. What the worker appends does not
   * count: it comes at its own pace, also while sockets subscribe one after another.
   */
  uneven: number
  repeated: number
  reordered: number
  leaked: number
  resyncs: number
}

const wrongIn = (report: SwarmReport, written: number): WrongDeliveries => {
  const { repeated, reordered, leaked, resyncs } = report
  const uneven = Object.values(report.scopes).reduce(
    (sum, { leastWritten, mostWritten }) => sum + mostWritten - leastWritten,
    0,
  )
  return { lost: Math.max(0, written - report.written), uneven, repeated, reordered, leaked, resyncs }
}

export const untilLive = (swarm: Swarm, sockets: number, timeoutMs = 60_000): Promise<void> =>
  eventually(
    async () => {
      const { live } = await swarm.report()
      if (live < sockets) throw new Error(`${live} of ${sockets} are live`)
    },
    { timeoutMs, everyMs: 50 },
  )

/** Creates whose title says when they were due, as `swarm-socket.ts` reads it. */
export const dueRequests = (
  places: readonly Pick<Person, 'token' | 'projectId'>[],
  bytes = 0,
): HttpRequest[] =>
  places.map(({ token, projectId }) => ({
    method: 'POST',
    path: '/api/tasks',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      projectId,
      title: `due ${dueTime}`,
      ...(bytes > 0 && { description: 'x'.repeat(bytes) }),
    }),
  }))

const writerConnections = 64

/** Writes at a fixed rate, whether or not answers come, by the load process. */
export const writeAtRate = (
  { generator }: Pick<Context, 'generator'>,
  url: string,
  requests: HttpRequest[],
  { seconds, perSecond }: { seconds: number; perSecond: number },
): Promise<LoadResult> => {
  // As many lanes as divide the requests evenly, so that each place gets its share.
  const connections = requests.length * Math.ceil(writerConnections / requests.length)
  const job = { with: 'native', url, connections, seconds, perSecond, requests, expect: 201 } as const
  return generator.run(job)
}
