// Fan-out within a process: order, controls first, and not keeping the process from everything else.
import { expect, test } from 'bun:test'
import { Hub, type Subscriber } from '../../../src/changelog/follower/hub.ts'
import { projectScope, type Control, type LogEntry, type Scope } from '../../../src/model/event.ts'
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
  frame: '{}',
})

const unexpected = (error: unknown): never => {
  throw error
}

const seqs = (entries: LogEntry[]): number[] => entries.map(({ seq }) => seq)

test('each scope hears its own, in order, and nothing after leaving', () => {
  const hub = new Hub(unexpected)
  const heard: number[][] = []
  const leave = hub.subscribe(scope, { onEntries: (entries) => heard.push(seqs(entries)) })
  hub.publish([entry(1), entry(2, projectScope('b')), entry(3)])
  leave()
  leave()
  hub.publish([entry(4)])
  expect(heard).toEqual([[1, 3]])
  expect(hub.scopeCount).toBe(0)
})

test('a control takes effect after all before it and before all after it', () => {
  const hub = new Hub(unexpected)
  const told: string[] = []
  hub.subscribe(scope, { onEntries: (entries) => told.push(...seqs(entries).map(String)) })
  hub.onControl(({ seq }) => told.push(`control ${seq}`))
  hub.publish([
    entry(1),
    entry(2, projectScope('b'), { kind: 'delete' }),
    entry(3),
    entry(4, scope, { kind: 'delete' }),
  ])
  expect(told).toEqual(['1', 'control 2', '3', 'control 4', '4'])
})

test('subscribers may leave and join while entries are delivered', () => {
  const hub = new Hub(unexpected)
  const heard: string[] = []
  const leaves: (() => void)[] = []
  for (const name of ['a', 'b', 'c']) {
    const leave = hub.subscribe(scope, {
      onEntries() {
        heard.push(name)
        for (const other of leaves.splice(0)) other()
      },
    })
    leaves.push(leave)
  }
  hub.publish([entry(1)])
  hub.publish([entry(2)])
  expect(heard).toEqual(['a'])
})

test('a fan-out to thousands leaves room for everything else, and everybody is served', async () => {
  const hub = new Hub(unexpected)
  let served = 0
  const spendMs = (ms: number): void => {
    const endsAt = performance.now() + ms
    while (performance.now() < endsAt);
  }
  const subscriber = (): Subscriber => {
    const send = (): void => {
      spendMs(0.02)
      served += 1
    }
    return { onEntries: send, onBacklog: send }
  }
  for (let n = 0; n < 10_000; n += 1) hub.subscribe(scope, subscriber())
  // Counted in sends, each of which takes its time: a machine that stalls makes a turn longer, never fuller.
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

test('whoever is told late hears all in order, once, and reads what came in between where it is kept', async () => {
  const hub = new Hub(unexpected, 0) // nobody is told in the tick of the delivery
  const log: LogEntry[] = []
  const deliver = (...entries: LogEntry[]): void => {
    log.push(...entries)
    hub.publish(entries)
  }
  const heard = Array.from({ length: 200 }, (): number[] => [])
  const resumed = new Set<number>()
  for (const [index, seqsHeard] of heard.entries()) {
    const take = (entries: LogEntry[]): void => {
      // As a subscription does: what it read already is passed over.
      for (const { seq } of entries) if (seq > (seqsHeard.at(-1) ?? 0)) seqsHeard.push(seq)
      // In the midst of the first round more comes, twice.
      if (index === 100 && log.length === 1) {
        deliver(entry(2), entry(3))
        deliver(entry(4))
      }
    }
    hub.subscribe(scope, {
      onEntries: take,
      onBacklog(first) {
        resumed.add(first.seq)
        take(log.filter(({ seq }) => seq >= first.seq))
      },
    })
  }
  deliver(entry(1))
  await eventually(() => expect(hub.hasPendingRound(scope)).toBe(false))
  expect(heard).toEqual(heard.map(() => [1, 2, 3, 4]))
  expect([...resumed]).toEqual([2])
})

test('who cannot be told late is told at once; who left meanwhile is not told; nobody waits for another scope', async () => {
  const hub = new Hub(unexpected, 0)
  const told: string[] = []
  const late = (name: string): Subscriber => ({
    onEntries: (entries) => told.push(...seqs(entries).map((seq) => `${name}${seq}`)),
    onBacklog: () => told.push(`${name} resumed`),
  })
  const other = projectScope('b')
  hub.subscribe(scope, late('a'))
  const leave = hub.subscribe(scope, late('gone'))
  hub.subscribe(other, late('b'))
  hub.subscribe(scope, { onEntries: (entries) => told.push(...seqs(entries).map((seq) => `now${seq}`)) })
  hub.publish([entry(1), entry(2, other), entry(3)])
  leave()
  expect(told).toEqual(['now1', 'now3'])
  hub.publish([entry(4)])
  expect(told.splice(0)).toEqual(['now1', 'now3', 'now4'])
  await eventually(() => expect(hub.hasPendingRound(scope)).toBe(false))
  // The second round of one scope comes after the first of the other.
  expect(told).toEqual(['a1', 'a3', 'b2', 'a4'])
})

test('what was to be told late is not told in a new epoch, to whom its numbers mean nothing', async () => {
  const hub = new Hub(unexpected, 0)
  const told: string[] = []
  const subscriber = (name: string): Subscriber => ({
    onEntries: (entries) => told.push(...seqs(entries).map((seq) => `${name}${seq}`)),
    onBacklog: () => told.push(`${name} resumed`),
  })
  hub.subscribe(scope, { onEntries() {} }) // keeps the scope
  const leave = hub.subscribe(scope, { ...subscriber('old'), onEpochChange: () => leave() })
  hub.publish([entry(8)])
  hub.publish([entry(9)])
  hub.notifyEpochChange()
  hub.subscribe(scope, subscriber('new'))
  hub.publish([entry(3)])
  await eventually(() => expect(told).toEqual(['new3']))
})

test.each([
  ['at once', 4],
  ['late', 0],
])('one who throws while told %s is a failure, after which the hub goes on', async (_when, sliceMs) => {
  const failures: unknown[] = []
  const told: number[] = []
  const hub = new Hub((error) => failures.push(error), sliceMs)
  let isBroken = true
  const take = (entries: LogEntry[]): void => {
    if (isBroken) throw new Error('a bug')
    told.push(...seqs(entries))
  }
  hub.subscribe(scope, { onEntries: take, onBacklog: ({ seq }) => told.push(seq) })
  hub.publish([entry(1)])
  hub.publish([entry(2)])
  await eventually(() => expect(failures.length).toBeGreaterThan(0))
  expect(failures).toContainEqual(new Error('a bug'))
  expect(hub.hasPendingRound(scope)).toBe(false)
  isBroken = false
  hub.publish([entry(3)])
  await eventually(() => expect(told).toEqual([3]))
})

test('a control that fails is a failure: nobody hears what came after it', () => {
  const failures: unknown[] = []
  const told: number[] = []
  const hub = new Hub((error) => failures.push(error))
  hub.subscribe(scope, { onEntries: (entries) => told.push(...seqs(entries)) })
  hub.onControl(() => {
    throw new Error('a bug')
  })
  hub.publish([entry(1), entry(2, scope, { kind: 'delete' }), entry(3)])
  expect(told).toEqual([1])
  expect(failures).toEqual([new Error('a bug')])
})
