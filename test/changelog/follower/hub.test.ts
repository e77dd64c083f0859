// Fan-out within a process: order, control entries first, and yielding the event loop.
import { expect, test } from 'bun:test'
import { Hub, type DeferrableSubscriber } from '../../../src/changelog/follower/hub.ts'
import { projectScope, type Scope } from '../../../src/model/scope.ts'
import { type Control, type LogEntry } from '../../../src/model/event.ts'
import { eventually } from '../../support/eventually.ts'

const scope = projectScope('a')

const entry = (seq: number, of: Scope = scope, control: Control | null = null): LogEntry => ({
  shard: 0,
  seq,
  at: '2026-01-01T00:00:00.000Z',
  scope: of,
  type: 'task.updated',
  entityId: null,
  version: seq,
  actorId: null,
  op: null,
  control,
  changes: null,
  quiet: false,
  override: false,
  frame: '{}',
})

const unexpected = (error: unknown): never => {
  throw error
}

const seqs = (entries: LogEntry[]): number[] => entries.map(({ seq }) => seq)

test('a subscriber receives the entries of its scope in order, and none after unsubscribing', () => {
  const hub = new Hub(unexpected)
  const received: number[][] = []
  const leave = hub.subscribe(scope, { onEntries: (entries) => received.push(seqs(entries)) }, 'immediate')
  hub.publish([entry(1), entry(2, projectScope('b')), entry(3)])
  leave()
  leave()
  hub.publish([entry(4)])
  expect(received).toEqual([[1, 3]])
  expect(hub.scopeCount).toBe(0)
})

test('a control entry takes effect after all entries before it and before all after it', () => {
  const hub = new Hub(unexpected)
  const received: string[] = []
  hub.subscribe(scope, { onEntries: (entries) => received.push(...seqs(entries).map(String)) }, 'immediate')
  hub.onControl(({ seq }) => received.push(`control ${seq}`))
  hub.publish([
    entry(1),
    entry(2, projectScope('b'), { kind: 'delete' }),
    entry(3),
    entry(4, scope, { kind: 'delete' }),
  ])
  expect(received).toEqual(['1', 'control 2', '3', 'control 4', '4'])
})

test('subscribers may come and go while entries are published', () => {
  const hub = new Hub(unexpected)
  const received: string[] = []
  const leaves: (() => void)[] = []
  for (const name of ['a', 'b', 'c']) {
    const leave = hub.subscribe(
      scope,
      {
        onEntries() {
          received.push(name)
          for (const other of leaves.splice(0)) other()
        },
      },
      'immediate',
    )
    leaves.push(leave)
  }
  hub.publish([entry(1)])
  hub.publish([entry(2)])
  expect(received).toEqual(['a'])
})

test('a fan-out to thousands yields the event loop, and every subscriber is served', async () => {
  const hub = new Hub(unexpected)
  let served = 0
  const spendMs = (ms: number): void => {
    const endsAt = performance.now() + ms
    while (performance.now() < endsAt);
  }
  const subscriber = (): DeferrableSubscriber => {
    const send = (): void => {
      spendMs(0.02)
      served += 1
    }
    return { onEntries: send, onBacklog: send }
  }
  for (let n = 0; n < 10_000; n += 1) hub.subscribe(scope, subscriber(), 'deferrable')
  // Counted in sends of a fixed duration: a stall of the machine makes a turn longer but adds no sends to it.
  let mostInATurn = 0
  let before = 0
  const beat = (): void => {
    mostInATurn = Math.max(mostInATurn, served - before)
    before = served
    if (served < 10_000) setImmediate(beat)
  }
  setImmediate(beat)
  hub.publish([entry(1)])
  const firstSlice = served
  expect(hub.hasPendingRound(scope)).toBe(true)
  await eventually(() => expect(served).toBe(10_000))
  expect(hub.hasPendingRound(scope)).toBe(false)
  expect(firstSlice).toBeLessThan(1_000) // 4 ms of 200
  expect(mostInATurn).toBeGreaterThan(0)
  expect(mostInATurn).toBeLessThan(1_000)
})

test('a deferred subscriber receives all entries in order, once, and reads those that arrived in between from the backlog', async () => {
  const hub = new Hub(unexpected, 0) // no subscriber is served in the tick of the publish
  const log: LogEntry[] = []
  const deliver = (...entries: LogEntry[]): void => {
    log.push(...entries)
    hub.publish(entries)
  }
  const received = Array.from({ length: 200 }, (): number[] => [])
  const resumed = new Set<number>()
  for (const [index, own] of received.entries()) {
    const take = (entries: LogEntry[]): void => {
      // As a subscription does: entries it has read already are skipped.
      for (const { seq } of entries) if (seq > (own.at(-1) ?? 0)) own.push(seq)
      // More entries arrive during the first round, twice.
      if (index === 100 && log.length === 1) {
        deliver(entry(2), entry(3))
        deliver(entry(4))
      }
    }
    hub.subscribe(
      scope,
      {
        onEntries: take,
        onBacklog(first) {
          resumed.add(first.seq)
          take(log.filter(({ seq }) => seq >= first.seq))
        },
      },
      'deferrable',
    )
  }
  deliver(entry(1))
  await eventually(() => expect(hub.hasPendingRound(scope)).toBe(false))
  expect(received).toEqual(received.map(() => [1, 2, 3, 4]))
  expect([...resumed]).toEqual([2])
})

test('immediate subscribers receive entries in the same tick, unsubscribed ones none, and no scope waits for another', async () => {
  const hub = new Hub(unexpected, 0)
  const received: string[] = []
  const late = (name: string): DeferrableSubscriber => ({
    onEntries: (entries) => received.push(...seqs(entries).map((seq) => `${name}${seq}`)),
    onBacklog: () => received.push(`${name} resumed`),
  })
  const other = projectScope('b')
  hub.subscribe(scope, late('a'), 'deferrable')
  const leave = hub.subscribe(scope, late('gone'), 'deferrable')
  hub.subscribe(other, late('b'), 'deferrable')
  hub.subscribe(
    scope,
    { onEntries: (entries) => received.push(...seqs(entries).map((seq) => `now${seq}`)) },
    'immediate',
  )
  hub.publish([entry(1), entry(2, other), entry(3)])
  leave()
  expect(received).toEqual(['now1', 'now3'])
  hub.publish([entry(4)])
  expect(received.splice(0)).toEqual(['now1', 'now3', 'now4'])
  await eventually(() => expect(hub.hasPendingRound(scope)).toBe(false))
  // The second round of one scope comes after the first of the other.
  expect(received).toEqual(['a1', 'a3', 'b2', 'a4'])
})

test('pending rounds are dropped in a new epoch, to which their numbers do not belong', async () => {
  const hub = new Hub(unexpected, 0)
  const received: string[] = []
  const subscriber = (name: string): DeferrableSubscriber => ({
    onEntries: (entries) => received.push(...seqs(entries).map((seq) => `${name}${seq}`)),
    onBacklog: () => received.push(`${name} resumed`),
  })
  hub.subscribe(scope, { onEntries() {} }, 'immediate') // keeps the scope
  const leave = hub.subscribe(scope, { ...subscriber('old'), onEpochChange: () => leave() }, 'deferrable')
  hub.publish([entry(8)])
  hub.publish([entry(9)])
  hub.notifyEpochChange()
  hub.subscribe(scope, subscriber('new'), 'deferrable')
  hub.publish([entry(3)])
  await eventually(() => expect(received).toEqual(['new3']))
})

test.each([
  ['in the same tick', 4],
  ['in a later turn', 0],
])(
  'a subscriber that throws %s is a delivery failure, after which the hub continues',
  async (_when, sliceMs) => {
    const failures: unknown[] = []
    const received: number[] = []
    const hub = new Hub((error) => failures.push(error), sliceMs)
    let isBroken = true
    const take = (entries: LogEntry[]): void => {
      if (isBroken) throw new Error('a bug')
      received.push(...seqs(entries))
    }
    hub.subscribe(scope, { onEntries: take, onBacklog: ({ seq }) => received.push(seq) }, 'deferrable')
    hub.publish([entry(1)])
    hub.publish([entry(2)])
    await eventually(() => expect(failures.length).toBeGreaterThan(0))
    expect(failures).toContainEqual(new Error('a bug'))
    expect(hub.hasPendingRound(scope)).toBe(false)
    isBroken = false
    hub.publish([entry(3)])
    await eventually(() => expect(received).toEqual([3]))
  },
)

test('a control listener that throws is a delivery failure: entries after it are not published', () => {
  const failures: unknown[] = []
  const received: number[] = []
  const hub = new Hub((error) => failures.push(error))
  hub.subscribe(scope, { onEntries: (entries) => received.push(...seqs(entries)) }, 'immediate')
  hub.onControl(() => {
    throw new Error('a bug')
  })
  hub.publish([entry(1), entry(2, scope, { kind: 'delete' }), entry(3)])
  expect(received).toEqual([1])
  expect(failures).toEqual([new Error('a bug')])
})
