// The bytes one user's writes may store in a day: counted with their entries, over all processes, refused beyond it.
import { expect, test } from 'bun:test'
import { eventually } from '../support/eventually.ts'
import { startWorld } from '../support/world.ts'

test('a user whose writes stored too much today may still read but not write, on any server', async () => {
  await using world = await startWorld({ rateLimit: true, writtenMebibytesPerDay: 1 })
  await using other = await world.another()
  const [ada, bob] = [await world.register(), await world.register()]
  const task = { title: 'x', description: 'a'.repeat(10_000) }
  const write = (token: string) => world.call('POST', '/api/tasks', { token, body: task })
  const writeElsewhere = (token: string) =>
    fetch(`${other.url}/api/tasks`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
      body: JSON.stringify(task),
    })
  let stored = 0
  let refused = await world.call('GET', '/livez')
  for (let count = 0; count < 200 && refused.status !== 429; count += 1) {
    refused = await write(ada.token)
    if (refused.status === 201) stored += 1
  }
  expect(refused.status).toBe(429)
  expect(refused.body.code).toBe('rate_limited')
  expect(refused.headers.get('ratelimit-policy')).toBe('"written-bytes";q=1048576;w=86400')
  expect(refused.headers.get('ratelimit')).toMatch(/^"written-bytes";r=0;t=\d+$/)
  expect(Number(refused.headers.get('retry-after'))).toBeWithin(86_000, 86_401)
  // A row, its log entry, and both texts once: about 21 kB.
  expect(stored).toBeWithin(40, 60)

  expect((await world.call('GET', '/api/tasks', { token: ada.token })).status).toBe(200)
  expect((await world.call('DELETE', '/api/users/me', { token: ada.token, body: {} })).status).toBe(429)
  expect((await write(bob.token)).status).toBe(201)
  // Another process reads it with its own first count.
  await eventually(async () => expect((await writeElsewhere(ada.token)).status).toBe(429))
  expect((await world.call('POST', '/api/auth/logout-all', { token: ada.token })).status).toBe(204)
}, 60_000)

test('the answer that is stored for a key counts, also of a write without a change, and a repeat counts nothing', async () => {
  await using world = await startWorld({ rateLimit: true, writtenMebibytesPerDay: 1 })
  const { id, token } = await world.register()
  const remaining = () => world.server.deps.writtenBytes.stateOf(id).remaining
  const body = { title: 'x', description: 'a'.repeat(10_000) }
  const task = await world.call('POST', '/api/tasks', { token, body })
  const patch = (key: string) =>
    world.call('PATCH', `/api/tasks/${task.body.id}`, {
      token,
      body: { title: 'x' },
      headers: { 'Idempotency-Key': key },
    })
  await eventually(() => expect(remaining()).toBeLessThan(1024 * 1024 - 20_000))
  const before = remaining()
  for (const key of ['one', 'two', 'three', 'three', 'three']) expect((await patch(key)).status).toBe(200)
  // Counted before the answer is sent.
  expect(before - remaining()).toBeWithin(30_000, 40_000)
})

test('a write without a change counts no bytes', async () => {
  await using world = await startWorld({ rateLimit: true, writtenMebibytesPerDay: 1 })
  const { id, token } = await world.register()
  const remaining = () => world.server.deps.writtenBytes.stateOf(id).remaining
  const body = { title: 'x', description: 'a'.repeat(10_000) }
  const task = await world.call('POST', '/api/tasks', { token, body })
  await eventually(() => expect(remaining()).toBeLessThan(1024 * 1024 - 20_000))
  const before = remaining()
  for (let count = 0; count < 3; count += 1)
    expect((await world.call('PATCH', `/api/tasks/${task.body.id}`, { token, body })).status).toBe(200)
  await world.call('PATCH', `/api/tasks/${task.body.id}`, { token, body: { status: 'done' } })
  // One change in the end, to wait for: 21 kB and not four times as much.
  await eventually(() => expect(remaining()).toBeLessThan(before))
  expect(before - remaining()).toBeLessThan(30_000)
})
