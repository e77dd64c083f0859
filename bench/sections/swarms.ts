// What the sections about sockets share: seats of users, waiting for events, and writes at a fixed rate.
import { eventually } from '../../test/support/eventually.ts'
import type { Seat, Swarm } from '../../test/support/swarm.ts'
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

export const untilReceived = (swarm: Swarm, events: number, timeoutMs = 30_000): Promise<void> =>
  eventually(
    async () => {
      const report = await swarm.report()
      if (report.events < events) throw new Error(`${report.events} of ${events} frames came`)
    },
    { timeoutMs, everyMs: 20 },
  )

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
