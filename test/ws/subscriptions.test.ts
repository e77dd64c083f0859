// Joining and catching up, a step of the event loop at a time: every waiting subscription becomes live.
import { expect, test } from 'bun:test'
import { Hub } from '../../src/changelog/follower/hub.ts'
import { newLiveStats } from '../../src/changelog/live-stats.ts'
import { projectScope, shardOf } from '../../src/model/scope.ts'
import { newId } from '../../src/model/scalar.ts'
import { HandshakeLimiter } from '../../src/limits/handshake-limiter.ts'
import type { ConnectionHandle, SocketDeps } from '../../src/ws/connection-handle.ts'
import { eventually } from '../support/eventually.ts'
import { Subscriptions } from '../../src/ws/subscriptions.ts'

const scopes = [projectScope(newId()), projectScope(newId())]
const identity = {
  actor: {
    userId: newId(),
    role: 'user' as const,
    credential: { kind: 'session' as const, sessionId: newId() },
  },
  expiresAt: Infinity,
}

/** Joins two scopes, the second `steps` microtasks after the first. Both must be synced, in this order. */
const joinTwo = async (steps: number): Promise<void> => {
  const synced: string[] = []
  const wait = async (turns: number): Promise<void> => {
    for (let turn = 0; turn < turns; turn += 1) await Promise.resolve()
  }
  const joins = scopes.map((scope) => ({
    kind: 'fresh',
    epoch: 'epoch',
    shard: shardOf(scope),
    from: 7,
    head: 7,
    events: 0,
  }))
  const hub = new Hub((error) => {
    throw error
  })
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what joining at the head needs of them
  const deps = {
    joins: { join: async () => joins.shift() },
    handshakes: new HandshakeLimiter(9),
    follower: {
      epoch: 'epoch',
      positions: Array.from({ length: 16 }, () => 7),
      awaitEpoch: async () => {},
      subscribe: hub.subscribe.bind(hub),
    },
    stats: newLiveStats(),
  } as unknown as SocketDeps
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the same
  const handle = {
    isParked: false,
    isClosed: false,
    send: (frame) => frame.t === 'synced' && synced.push(frame.scope),
  } as Partial<ConnectionHandle> as ConnectionHandle
  const subscriptions = new Subscriptions(handle, deps)
  const late = wait(steps).then(() => subscriptions.join(2, scopes[1]!, null, identity))
  await Promise.all([subscriptions.join(1, scopes[0]!, null, identity), late])
  await eventually(() => expect([steps, synced]).toEqual([steps, scopes]))
}

test('a subscription that joins just as the others have caught up is synced too', async () => {
  for (let steps = 0; steps < 30; steps += 1) await joinTwo(steps)
})
