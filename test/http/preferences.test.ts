// Which notifications a user wants, over HTTP: a merge patch with defaults, logged for the user's other devices.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { notificationKinds } from '../../src/model/notification.ts'
import { userScope } from '../../src/model/scope.ts'
import { callsOf, frameOf, pointersOf, type Calls } from '../support/tasks.ts'
import { startWorld, type Person, type World } from '../support/world.ts'

let world: World
let ada: Person
let calls: Calls
const path = '/api/notifications/preferences'

beforeAll(async () => {
  world = await startWorld()
  ada = await world.register('Ada')
  calls = callsOf(world, ada)
})

afterAll(() => world[Symbol.asyncDispose]())

const everything = Object.fromEntries(notificationKinds.map((kind) => [kind, { inApp: true, email: true }]))
const patch = (body: unknown, headers?: Record<string, string>) =>
  calls.call<any>('PATCH', path, body, headers)

test('by default every kind is wanted on every channel, a day before a due time', async () => {
  const calls = callsOf(world, await world.register())
  const { status, body, headers } = await calls.call<any>('GET', path)
  expect([status, body]).toEqual([200, { dueSoonHours: 24, kinds: everything }])
  const tag = { 'If-None-Match': headers.get('etag')! }
  expect((await calls.call('GET', path, undefined, tag)).status).toBe(304)
  expect((await world.call('GET', path)).status).toBe(401)
})

test('a patch changes what it names, null sets the default, and each change is logged for the user', async () => {
  const person = await world.register('Bob')
  const bobs = callsOf(world, person)
  const change = (body: unknown) => bobs.call<any>('PATCH', path, body)
  const first = await change({
    dueSoonHours: 48,
    kinds: { commented: { email: false }, overdue: { inApp: false } },
  })
  expect(first.body).toEqual({
    dueSoonHours: 48,
    kinds: {
      ...everything,
      commented: { inApp: true, email: false },
      overdue: { inApp: false, email: true },
    },
  })
  const entry = (await world.entries(userScope(person.id))).at(-1)
  const { type, changed, data, cursor } = frameOf(entry)
  expect({ type, changed, id: data.id, cursor }).toEqual({
    type: 'user.updated',
    changed: ['preferences'],
    id: person.id,
    cursor: first.headers.get('tide-cursor'),
  })
  expect(data).toEqual(await world.ask(person, 'GET', '/api/users/me'))
  expect((await bobs.call<any>('GET', path)).body).toEqual(first.body)
  const second = await change({ kinds: { commented: { inApp: false, email: null }, overdue: null } })
  expect(second.body.kinds).toEqual({ ...everything, commented: { inApp: false, email: true } })
  const before = await world.entryCount()
  const same = await change({ dueSoonHours: 48, kinds: {} })
  expect([same.status, same.headers.has('tide-cursor'), await world.entryCount()]).toEqual([
    200,
    false,
    before,
  ])
  expect((await change({ dueSoonHours: null, kinds: null })).body).toEqual({
    dueSoonHours: 24,
    kinds: everything,
  })
})

test('a repeated patch with its key has one effect', async () => {
  const key = { 'Idempotency-Key': 'prefer-once' }
  const [one, two] = [await patch({ dueSoonHours: 3 }, key), await patch({ dueSoonHours: 3 }, key)]
  expect(two.headers.get('idempotency-replayed')).toBe('true')
  expect(two.body).toEqual(one.body)
})

test('what is no preference is refused and changes nothing', async () => {
  const before = await world.entryCount()
  const bad: [unknown, string[]][] = [
    [{}, ['']],
    [[], ['']],
    [{ dueSoonHours: 0 }, ['/dueSoonHours']],
    [{ dueSoonHours: 169 }, ['/dueSoonHours']],
    [{ dueSoonHours: 1.5 }, ['/dueSoonHours']],
    [{ dueSoonHours: '24' }, ['/dueSoonHours']],
    [{ duesoonhours: 24 }, ['/duesoonhours']],
    [{ kinds: { invented: { inApp: false } } }, ['/kinds/invented']],
    [{ kinds: { overdue: { push: true } } }, ['/kinds/overdue/push']],
    [{ kinds: { overdue: { email: 'no' } } }, ['/kinds/overdue/email']],
    [{ kinds: { overdue: false } }, ['/kinds/overdue']],
    [{ kinds: [] }, ['/kinds']],
  ]
  for (const [body, pointers] of bad) {
    const answer = await patch(body)
    expect({ body, status: answer.status, pointers: pointersOf(answer) }).toEqual({
      body,
      status: 422,
      pointers,
    })
  }
  expect((await calls.call('PUT', path, { dueSoonHours: 3 })).status).toBe(405)
  expect(await world.entryCount()).toBe(before)
})
