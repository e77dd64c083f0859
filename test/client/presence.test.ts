// Presence and signals through the client against a real server.
import { expect, test } from 'bun:test'
import { createClient, type Client } from '../../packages/client/src/client.ts'
import { eventually } from '../support/eventually.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { quick } from './scripted.ts'

const clientOf = async (world: World, person: Person): Promise<Client> => {
  const client = createClient({ url: world.url, timing: quick })
  await client.session.adopt(person.session)
  return client
}

test('Users at a project receive each other’s presence and ephemeral signals', async () => {
  await using world = await startWorld()
  const [ada, bob] = [await world.register(), await world.register()]
  const { body: project } = await world.call('POST', '/api/projects', {
    token: ada.token,
    body: { name: 'P' },
  })
  const body = { email: bob.email, role: 'viewer' }
  await world.call('POST', `/api/projects/${project.id}/members`, { token: ada.token, body })
  using one = await clientOf(world, ada)
  using two = await clientOf(world, bob)
  using here = one.project(project.id).presence()
  const there = two.project(project.id).presence()
  const received: unknown[] = []
  here.onSignal(({ user, kind, data }) => void received.push({ user, kind, data }))
  const both = [ada.id, bob.id].sort()
  await eventually(() => {
    expect([...here.users].sort()).toEqual(both)
    expect([...there.users].sort()).toEqual(both)
  })
  const entries = await world.entryCount()
  expect(there.signal('typing', { field: 'title' })).toBe(true)
  await eventually(() =>
    expect(received).toEqual([{ user: bob.id, kind: 'typing', data: { field: 'title' } }]),
  )
  expect(Array.from({ length: 20 }, () => there.signal('cursor')).filter(Boolean)).toHaveLength(7)
  expect(await world.entryCount()).toBe(entries)
  there.close()
  await eventually(() => expect(here.users).toEqual([ada.id]), { timeoutMs: 10_000 })
  expect(() => one.project(project.id).presence()).toThrow('watched already')
}, 20_000)

test('With long polls presence is empty, and signals report that they were not sent', async () => {
  await using world = await startWorld()
  const ada = await world.register()
  using client = createClient({ url: world.url, transport: 'poll', timing: quick })
  await client.session.adopt(ada.session)
  using here = client.project(ada.inboxId).presence()
  await eventually(() => expect(client.connection.kind).toBe('poll'))
  expect(here.signal('typing')).toBe(false)
  expect(here.users).toEqual([])
})
