// Who is at a place, on a clock of the test's own: leaving, expiring, and more people than are named.
import { expect, test } from 'bun:test'
import { maxListed, diffSince, PresenceView } from '../../src/ws/presence/presence-view.ts'
import { randomOf, seed } from '../changelog/seed.ts'

const timings = { presenceLeaveDelayMs: 5_000, presenceTtlMs: 45_000 }
const make = () => new PresenceView('task:a', timings)
const names = (count: number, from = 0): string[] => Array.from({ length: count }, (_, n) => `u${from + n}`)

test('a diff lists who came and who has been gone for five seconds, once', () => {
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
  expect(view.full('anna')).toMatchObject({ count: 2 }) // about to come back, perhaps
  expect(view.diff(6_000)).toMatchObject({ users: ['anna'], joined: [], left: ['bert'], count: 1 })
  expect(view.diff(60_000)).toBeNull()
})

test('who came and went between two frames was never there', () => {
  const view = make()
  view.enter('anna')
  view.leave('anna', 10)
  expect(view.diff(20)).toBeNull()
  expect(view.full('bert')).toMatchObject({ users: ['bert'], count: 1 })
})

test('a new watcher receives all users present, and of the next diff only what is new to it', () => {
  const view = make()
  view.enter('anna')
  view.diff(0)
  view.enter('bert') // the others have no news of him yet
  view.enter('carl')
  const full = view.full('carl')
  expect(full).toMatchObject({ users: ['anna', 'bert', 'carl'], joined: [], left: [], count: 3 })
  view.enter('dora')
  const news = view.diff(2)!
  expect(news).toMatchObject({ joined: ['bert', 'carl', 'dora'], left: [] })
  expect(diffSince(full, news)).toMatchObject({ users: news.users, joined: ['dora'], left: [], count: 4 })
  expect(diffSince(view.full('dora'), news)).toBeNull()
})

test('one who was shown to a newcomer alone leaves for all with the delay, and once', () => {
  const view = make()
  view.enter('anna')
  view.diff(0)
  view.enter('bert')
  view.enter('carl')
  const full = view.full('carl')
  view.leave('bert', 1)
  const news = view.diff(2)!
  expect(news).toMatchObject({ joined: ['carl', 'bert'], left: [] })
  expect(diffSince(full, news)).toBeNull()
  expect(view.diff(5_001)).toMatchObject({ users: ['anna', 'carl'], joined: [], left: ['bert'] })
  expect(view.diff(10_000)).toBeNull()
})

test('the report of another process counts for its time and no longer, and ends with an empty report', () => {
  const view = make()
  view.receive('p', { users: ['anna'], count: 1 }, 0)
  view.receive('q', { users: ['anna', 'bert'], count: 2 }, 0)
  expect(view.diff(0)).toMatchObject({ users: ['anna', 'bert'] })
  view.receive('q', { users: [], count: 0 }, 1_000)
  expect(view.diff(6_000)).toMatchObject({ left: ['bert'], users: ['anna'] })
  expect(view.diff(44_999)).toBeNull()
  expect(view.diff(45_000)).toBeNull() // gone now, told after the leave
  expect(view.diff(50_000)).toMatchObject({ left: ['anna'], count: 0 })
})

test('above 200 people there is a count only, and names again once there are fewer (P-PRE-4)', () => {
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

test('a process with too many to name is counted', () => {
  const view = make()
  view.enter('anna')
  view.receive('p', { users: null, count: 500 }, 0)
  expect(view.diff(0)).toEqual({ t: 'presence', key: 'task:a', count: 501 })
  view.receive('p', { users: names(3), count: 3 }, 1)
  expect(view.diff(2)).toMatchObject({ users: ['anna', 'u0', 'u1', 'u2'] })
})

test('whatever happens, adding up the news gives who is there', () => {
  const random = randomOf(seed)
  const view = make()
  const people = names(8)
  const here = new Map<string, number>()
  const said = new Map<string, { users: string[]; at: number }>()
  const told = new Set<string>()
  let now = 0
  /** Of one who came since the last news: that frame, and what it has told. */
  let newcomer: ReturnType<typeof view.full> | null = null
  const hear = (): void => {
    const news = view.diff(now)
    if (newcomer) {
      const added = new Set(newcomer.users)
      const own = news && diffSince(newcomer, news)
      newcomer = null
      for (const user of own?.left ?? []) expect(added.delete(user)).toBe(true)
      for (const user of own?.joined ?? []) expect(added.has(user)).toBe(false)
      for (const user of own?.joined ?? []) added.add(user)
      expect([...added].sort()).toEqual([...(news?.users ?? told)].sort())
    }
    if (!news) return
    for (const user of news.left!) expect(told.delete(user)).toBe(true)
    for (const user of news.joined!) expect(told.has(user)).toBe(false)
    for (const user of news.joined!) told.add(user)
    expect([...told].sort()).toEqual([...news.users!].sort())
    expect(news.count).toBe(told.size)
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
      said.set(process, { users, at: now })
    }
    if (random() < 0.3 && (here.get(people[0]!) ?? 0) > 0) newcomer = view.full(people[0]!)
    if (random() < 0.7) hear()
  }
  // Left alone, it comes to what is true.
  hear()
  now += timings.presenceTtlMs
  hear()
  now += timings.presenceLeaveDelayMs
  hear()
  const present = people.filter((user) => (here.get(user) ?? 0) > 0)
  expect([...told].sort()).toEqual(present.sort())
})
