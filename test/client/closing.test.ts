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
