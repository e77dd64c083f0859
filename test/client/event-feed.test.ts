// Event feeds: events of scopes without state, each once, with gaps reported.
import { afterEach, expect, test } from 'bun:test'
import type { Event } from '../../packages/client/src/connection/frames.ts'
import { eventually } from '../support/eventually.ts'
import { scope, startScript, type Script } from './scripted.ts'
import type { FeedListener, Gap } from '../../packages/client/src/events/feed-listener.ts'

let script: Script
afterEach(() => script[Symbol.asyncDispose]())

const record = () => {
  const events: Event[] = []
  const gaps: Gap[] = []
  const stopped: [string, string][] = []
  const listener: FeedListener = {
    onEvent: (event) => void events.push(event),
    onGap: (gap) => void gaps.push(gap),
    onStopped: (name, { reason }) => void stopped.push([name, reason]),
  }
  return {
    listener,
    gaps,
    stopped,
    titles: () => events.map(({ data }) => (data as { title: string }).title),
  }
}

const subs = () => script.received.filter(({ t }) => t === 'sub')
const sub = (frame: any, replay: number, more: object = {}) => ({
  t: 'sub',
  rid: frame.rid,
  scope,
  mode: 'resume',
  cursor: frame.cursor,
  replay,
  ...more,
})

test('A feed delivers the events after its cursor and, after a reconnect, each event once', async () => {
  script = startScript()
  using client = await script.client()
  const { listener, titles } = record()
  using feed = client.events(listener)
  expect(feed.follow(scope, 'epoch.3.7')).toBe(true)
  expect(feed.follow(scope)).toBe(false)
  await eventually(() => expect(subs()).toHaveLength(1))
  const [one, two] = [script.event('one'), script.event('two')]
  script.send(one)
  script.send({ t: 'position', scope, cursor: one.cursor, count: 1 })
  script.send(two)
  await eventually(() => expect(titles()).toEqual(['one', 'two']))
  expect(feed.cursors).toEqual(new Map([[scope, two.cursor]]))
  const three = script.event('three')
  // No position confirmed `two`: the server sends it again.
  script.onSub = (frame) => [sub(frame, 2), two, three, { t: 'synced', scope, cursor: three.cursor }]
  script.peers.at(-1)!.close(1012)
  await eventually(() => expect(titles()).toEqual(['one', 'two', 'three']))
  expect(subs().map(({ cursor }) => cursor)).toEqual(['epoch.3.7', one.cursor])
})

test('Lost events are requested again from the last confirmed cursor; lost twice, they are reported as a gap', async () => {
  script = startScript()
  using client = await script.client()
  const { listener, titles, gaps } = record()
  using feed = client.events(listener)
  feed.follow(scope, 'epoch.3.7')
  await eventually(() => expect(subs()).toHaveLength(1))
  const [lost, seen] = [script.event('lost'), script.event('seen')]
  script.send(seen)
  script.onSub = (frame) =>
    frame.cursor === null
      ? [sub(frame, 0, { mode: 'fresh', cursor: 'epoch.3.20' })]
      : [sub(frame, 2), lost, seen, { t: 'synced', scope, cursor: seen.cursor }]
  script.send({ t: 'position', scope, cursor: seen.cursor, count: 2 })
  await eventually(() => expect(titles()).toEqual(['seen', 'lost']))
  await eventually(() => expect(feed.cursors.get(scope)).toBe(seen.cursor))
  expect(subs().at(-1).cursor).toBe('epoch.3.7')
  expect(gaps).toEqual([])
  script.onSub = (frame) =>
    frame.cursor === null
      ? [sub(frame, 0, { mode: 'fresh', cursor: 'epoch.3.20' })]
      : [sub(frame, 5), { t: 'synced', scope, cursor: seen.cursor }]
  script.send({ t: 'position', scope, cursor: 'epoch.3.15', count: 99 })
  await eventually(() => expect(gaps).toEqual([{ scope, cursor: seen.cursor, reason: 'lost_events' }]))
  await eventually(() => expect(feed.cursors.get(scope)).toBe('epoch.3.20'))
})

test('A cursor that has expired is reported as a gap; the feed continues with new events', async () => {
  script = startScript()
  script.onSub = (frame) =>
    frame.cursor === null
      ? [sub(frame, 0, { mode: 'fresh', cursor: 'epoch.3.9' })]
      : [{ t: 'resync', rid: frame.rid, scope, reason: 'too_old' }]
  using client = await script.client()
  const { listener, gaps, titles } = record()
  using feed = client.events(listener)
  feed.follow(scope, 'epoch.3.2')
  await eventually(() => expect(gaps).toEqual([{ scope, cursor: 'epoch.3.2', reason: 'too_old' }]))
  await eventually(() => expect(feed.cursors.get(scope)).toBe('epoch.3.9'))
  script.seq = 9
  script.send(script.event('later'))
  await eventually(() => expect(titles()).toEqual(['later']))
})

test('The server resolves user:me, and a scope without read access stops alone', async () => {
  script = startScript()
  script.onSub = (frame) =>
    frame.scope === 'user:me'
      ? [sub(frame, 0, { scope: 'user:1', mode: 'fresh', cursor: 'epoch.5.1' })]
      : [{ t: 'error', rid: frame.rid, code: frame.scope === scope ? 'not_found' : 'bad_frame' }]
  using client = await script.client()
  const { listener, stopped } = record()
  using feed = client.events(listener)
  for (const one of ['user:me', scope, 'nonsense']) feed.follow(one)
  await eventually(() =>
    expect(stopped).toEqual([
      [scope, 'not_found'],
      ['nonsense', 'refused'],
    ]),
  )
  expect(feed.cursors.get('user:1')).toBe('epoch.5.1')
  feed.unfollow(scope)
  expect([...feed.cursors.keys()]).toEqual(['user:1', 'nonsense'])
  expect(feed.connection.state).toBe('open')
})

test('A feed and a view of one scope are independent, and end with the client', async () => {
  script = startScript()
  const client = await script.client()
  const { listener, stopped, titles } = record()
  const feed = client.events(listener)
  const view = client.project(scope.slice('project:'.length)).live()
  feed.follow(scope, 'epoch.3.7')
  await view.ready
  await eventually(() => expect(subs()).toHaveLength(2))
  await eventually(() => expect(view.state).toBe('live'))
  const event = script.event('seen by both')
  for (const peer of script.peers) peer.send(JSON.stringify(event))
  await eventually(() => expect(titles()).toEqual(['seen by both']))
  await eventually(() => expect(view.current.tasks).toHaveLength(1))
  client.close()
  expect(stopped).toEqual([[scope, 'closed']])
  expect(view.state).toBe('stopped')
})
