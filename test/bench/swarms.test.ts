// The counting of a swarm, against a real server: entries that the worker appends do not take the place of written ones.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { seatOf, untilReceived, wrongDeliveries } from '../../bench/sections/swarms.ts'
import { projectScope } from '../../src/model/scope.ts'
import { eventually } from '../support/eventually.ts'
import { startSwarm } from '../support/swarm.ts'
import { startWorld, type World } from '../support/world.ts'
import { appendEntries } from '../ws/log-writes.ts'

let world: World

beforeAll(async () => {
  world = await startWorld()
}, 30_000)

afterAll(() => world?.[Symbol.asyncDispose]())

const none = { lost: 0, uneven: 0, repeated: 0, reordered: 0, leaked: 0, resyncs: 0 }

test('a socket that lacks a written event is waited for, whatever else the others receive', async () => {
  const { token, inboxId } = await world.register()
  const scope = projectScope(inboxId)
  await using swarm = await startSwarm([world.url], [seatOf({ token, projectId: inboxId })])
  await swarm.execute({ do: 'open', count: 2, atOnce: 2 })
  await swarm.execute({ do: 'pause', count: 1 })
  await world.call('POST', '/api/tasks', { token, body: { projectId: inboxId, title: 'One' } })
  await appendEntries(world.server.deps, {
    scope,
    type: 'stats.updated',
    id: inboxId,
    data: { projectId: inboxId },
    actorId: null,
  })
  await eventually(async () => {
    const { events, written, scopes } = await swarm.report()
    expect({ events, written, of: scopes[scope] }).toEqual({
      events: 2,
      written: 1,
      of: { sockets: 2, least: 0, most: 2, leastWritten: 0, mostWritten: 1 },
    })
  })
  expect(untilReceived(swarm, 2, 1)).rejects.toThrow('1 of 2 frames came')
  expect(await wrongDeliveries(swarm, 2, 1)).toEqual({ ...none, lost: 1, uneven: 1 })
  const waiting = wrongDeliveries(swarm, 2)
  await swarm.execute({ do: 'resume' })
  expect(await waiting).toEqual(none)
  await untilReceived(swarm, 2)
}, 30_000)
