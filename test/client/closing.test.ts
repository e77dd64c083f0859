// A view or a followed scope may be closed by its own listener, in the middle of a change: it stays closed and leaves
// nothing behind.
import { expect, test } from 'bun:test'
import { eventually } from '../support/eventually.ts'
import { projectId, scope, startScript } from './scripted.ts'

test('A view that is closed with its first state opens no connection', async () => {
  await using script = startScript()
  using client = await script.client()
  const view = client.project(projectId).live()
  view.onChange(() => {
    if (view.current.project) view.close()
  })
  await view.ready
  expect(view.state).toBe('stopped')
  expect(client.connection.state).toBe('idle')
  expect(script.peers).toEqual([])
})

test('A view that is closed when its snapshot is read again ends its connection and stays stopped', async () => {
  await using script = startScript()
  using client = await script.client()
  const view = client.project(projectId).live()
  await eventually(() => expect(view.state).toBe('live'))
  const states: string[] = []
  view.onChange(() => {
    states.push(view.state)
    if (view.state === 'catching-up') view.close()
  })
  script.send({ t: 'resync', scope, reason: 'too_old' })
  await eventually(() => expect(client.connection.state).toBe('idle'))
  expect(states).toEqual(['catching-up', 'stopped'])
  expect(view.state).toBe('stopped')
})

test('A view that is closed when its last write settles is not live again', async () => {
  await using script = startScript()
  using client = await script.client()
  let answered = 0
  script.onRequest = async ({ pathname }, request) => {
    if (pathname !== '/api/tasks') return undefined
    const { id }: any = await request.json()
    answered += 1
    const task = { id, projectId, version: 1, rank: 'a', title: 'mine' }
    return Response.json(task, { status: 201, headers: { 'Tide-Cursor': `epoch.3.${script.seq + 1}` } })
  }
  const view = client.project(projectId).live()
  await eventually(() => expect(view.state).toBe('live'))
  const write = view.create({ title: 'mine' })
  client.outbox.onChange(() => {
    if (client.outbox.pending.length === 0) view.close()
  })
  await eventually(() => expect(answered).toBe(1))
  // The end of the next replay is past the write: the view closes in the middle of that frame.
  script.onSub = ({ rid, cursor }) => [
    { t: 'sub', rid, scope, mode: 'resume', cursor, replay: 0 },
    { t: 'synced', scope, cursor: `epoch.3.${script.seq + 1}` },
  ]
  script.send({ t: 'resync', scope, reason: 'too_old' })
  expect(await write.settled).toMatchObject({ title: 'mine' })
  expect(view.state).toBe('stopped')
  await eventually(() => expect(client.connection.state).toBe('idle'))
})

test('A scope that is unfollowed at its gap is not subscribed to again', async () => {
  await using script = startScript()
  script.onSub = ({ rid }) => [{ t: 'resync', rid, scope, reason: 'too_old', snapshot: '' }]
  using client = await script.client()
  const gaps: string[] = []
  using feed = client.events({
    onEvent: () => {},
    onGap: ({ reason }) => {
      gaps.push(reason)
      feed.unfollow(scope)
    },
  })
  feed.follow(scope, 'epoch.3.1')
  await eventually(() => expect(gaps.length).toBeGreaterThan(0))
  await eventually(() => expect(feed.connection.state).toBe('idle'))
  expect(gaps).toEqual(['too_old'])
})

test('The refusal of a sub whose scope was revoked meanwhile does not end the next view of the scope', async () => {
  await using script = startScript()
  using client = await script.client()
  using _connected = client.project(projectId).presence() // keeps the connection without a view
  const subs = (): any[] => script.received.filter(({ t }) => t === 'sub')
  const first = client.project(projectId).live()
  await eventually(() => expect(first.state).toBe('live'))
  script.isDeaf = true
  script.send({ t: 'position', scope, cursor: 'epoch.3.7', count: 1 }) // an event was lost: the client subscribes again
  await eventually(() => expect(subs()).toHaveLength(2))
  script.send({ t: 'access', scope, cursor: 'epoch.3.8', op: 'revoked' })
  await eventually(() => expect(first.state).toBe('stopped'))
  expect(first.error).toMatchObject({ reason: 'revoked' })
  script.isDeaf = false
  using second = client.project(projectId).live()
  await eventually(() => expect(second.state).toBe('live'))
  script.send({ t: 'error', rid: subs()[1].rid, code: 'not_found' })
  script.send(script.event('granted again'))
  await eventually(() => expect(second.current.tasks.map(({ title }) => title)).toEqual(['granted again']))
  expect(second.state).toBe('live')
  expect(script.peers).toHaveLength(1)
})
