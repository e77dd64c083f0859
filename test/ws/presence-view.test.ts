// The users present at a place, on a clock of the test: leaving, expiring, and more users than are listed.
import { expect, test } from 'bun:test'
import { maxListed, diffSince, PresenceView } from '../../src/ws/presence/presence-view.ts'
import { randomOf, seed } from '../changelog/seed.ts'

const timings = { presenceLeaveDelayMs: 5_000, presenceTtlMs: 45_000 }
const make = () => new PresenceView('task:a', timings)
const names = (count: number, from = 0): string[] => Array.from({ length: count }, (_, n) => `u${from + n}`)

test('a diff lists users who entered and users who left five seconds ago, once', () => {
  const view = make()
  expect(view.diff(0)).toBeNull()
  view.enter('anna')
  view.enter('bert')
  expect(view.diff(1)).toEqual({
    t: 'presence',
    key: 'task:a',
    users: ['anna', 'bert'],
    joined: ['anna', 'bert'],
    left: [],
    count: 2,
  })
  expect(view.diff(2)).toBeNull()
  view.leave('bert', 1_000)
  expect(view.diff(5_999)).toBeNull()
  expect(view.full('anna')).toMatchObject({ count: 2 }) // bert may still return
  expect(view.diff(6_000)).toMatchObject({ users: ['anna'], joined: [], left: ['bert'], count: 1 })
  expect(view.diff(60_000)).toBeNull()
})

test('a user who entered and left between two diffs is in neither', () => {
  const view = make()
  view.enter('anna')
  view.leave('anna', 10)
  expect(view.diff(20)).toBeNull()
  expect(view.full('bert')).toMatchObject({ users: ['bert'], count: 1 })
})

test('a new watcher receives all present users, and of the next diff only what it does not have', () => {
  const view = make()
  view.enter('anna')
  view.diff(0)
  view.enter('bert') // the other watchers have not received him yet
  view.enter('carl')
  const full = view.full('carl')
  expect(full).toMatchObject({ users: ['anna', 'bert', 'carl'], joined: [], left: [], count: 3 })
  view.enter('dora')
  const diff = view.diff(2)!
  expect(diff).toMatchObject({ joined: ['bert', 'carl', 'dora'], left: [] })
  expect(diffSince(full, diff)).toMatchObject({ users: diff.users, joined: ['dora'], left: [], count: 4 })
  expect(diffSince(view.full('dora'), diff)).toBeNull()
})

test('a user listed to a new watcher only leaves for all watchers with the delay, and once', () => {
  const view = make()
  view.enter('anna')
  view.diff(0)
  view.enter('bert')
  view.enter('carl')
  const full = view.full('carl')
  view.leave('bert', 1)
  const diff = view.diff(2)!
  expect(diff).toMatchObject({ joined: ['carl', 'bert'], left: [] })
  expect(diffSince(full, diff)).toBeNull()
  expect(view.diff(5_001)).toMatchObject({ users: ['anna', 'carl'], joined: [], left: ['bert'] })
  expect(view.diff(10_000)).toBeNull()
})

test('the report of another process expires after its TTL, and ends with an empty report', () => {
  const view = make()
  view.receive('p', { users: ['anna'], count: 1 }, 0)
  view.receive('q', { users: ['anna', 'bert'], count: 2 }, 0)
  expect(view.diff(0)).toMatchObject({ users: ['anna', 'bert'] })
  view.receive('q', { users: [], count: 0 }, 1_000)
  expect(view.diff(6_000)).toMatchObject({ left: ['bert'], users: ['anna'] })
  expect(view.diff(44_999)).toBeNull()
  expect(view.diff(45_000)).toBeNull() // expired now, listed after the leave delay
  expect(view.diff(50_000)).toMatchObject({ left: ['anna'], count: 0 })
})

test('above 200 users there is only a count, and a list again once there are fewer (P-PRE-4)', () => {
  const view = make()
  for (const user of names(maxListed)) view.enter(user)
  expect(view.diff(0)).toMatchObject({ count: 200, joined: names(maxListed) })
  view.enter('one-more')
  expect(view.diff(1)).toEqual({ t: 'presence', key: 'task:a', count: 201 })
  expect(view.full('u0')).toEqual({ t: 'presence', key: 'task:a', count: 201 })
  expect(view.own).toEqual({ users: null, count: 201 })
  view.enter('another')
  expect(view.diff(2)).toEqual({ t: 'presence', key: 'task:a', count: 202 })
  expect(view.diff(3)).toBeNull()
  for (const user of names(100)) view.leave(user, 4)
  expect(view.diff(5)).toMatchObject({ count: 102, left: [] })
})

test('a process with too many users to list is counted', () => {
  const view = make()
  view.enter('anna')
  view.receive('p', { users: null, count: 500 }, 0)
  expect(view.diff(0)).toEqual({ t: 'presence', key: 'task:a', count: 501 })
  view.receive('p', { users: names(3), count: 3 }, 1)
  expect(view.diff(2)).toMatchObject({ users: ['anna', 'u0', 'u1', 'u2'] })
})

test('the sum of the diffs is always the set of present users', () => {
  const random = randomOf(seed)
  const view = make()
  const people = names(8)
  const here = new Map<string, number>()
  const listed = new Set<string>()
  let now = 0
  /** The full frame of a watcher who came since the last diff. */
  let newWatcher: ReturnType<typeof view.full> | null = null
  const applyDiff = (): void => {
    const diff = view.diff(now)
    if (newWatcher) {
      const added = new Set(newWatcher.users)
      const own = diff && diffSince(newWatcher, diff)
      newWatcher = null
      for (const user of own?.left ?? []) expect(added.delete(user)).toBe(true)
      for (const user of own?.joined ?? []) expect(added.has(user)).toBe(false)
      for (const user of own?.joined ?? []) added.add(user)
      expect([...added].sort()).toEqual([...(diff?.users ?? listed)].sort())
    }
    if (!diff) return
    for (const user of diff.left!) expect(listed.delete(user)).toBe(true)
    for (const user of diff.joined!) expect(listed.has(user)).toBe(false)
    for (const user of diff.joined!) listed.add(user)
    expect([...listed].sort()).toEqual([...diff.users!].sort())
    expect(diff.count).toBe(listed.size)
  }
  for (let step = 0; step < 3_000; step += 1) {
    now += Math.floor(random() * 2_000)
    const user = people[Math.floor(random() * people.length)]!
    const count = here.get(user) ?? 0
    if (random() < 0.4) {
      view.enter(user)
      here.set(user, count + 1)
    } else if (random() < 0.6 && count > 0) {
      view.leave(user, now)
      here.set(user, count - 1)
    } else if (random() < 0.5) {
      const users = people.filter(() => random() < 0.3)
      const process = random() < 0.5 ? 'p' : 'q'
      view.receive(process, { users, count: users.length }, now)
    }
    if (random() < 0.3 && (here.get(people[0]!) ?? 0) > 0) newWatcher = view.full(people[0]!)
    if (random() < 0.7) applyDiff()
  }
  // Without further reports it converges to the local users.
  applyDiff()
  now += timings.presenceTtlMs
  applyDiff()
  now += timings.presenceLeaveDelayMs
  applyDiff()
  const present = people.filter((user) => (here.get(user) ?? 0) > 0)
  expect([...listed].sort()).toEqual(present.sort())
})
