// The page of dead letters: who may see and requeue them, what a requeue answers, and that a browser shows it under the
// page's policy.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Browser } from 'playwright-core'
import { insertDeadLetter } from '../../src/db/log/dead-letters.ts'
import type { LogEntry } from '../../src/model/event.ts'
import { projectScope } from '../../src/model/scope.ts'
import { browserTimeoutMs, startBrowser } from '../support/browser.ts'
import { eventually } from '../support/eventually.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { openAsAdmin } from './admin-browser.ts'

let world: World
let admin: Person
let person: Person
let browser: Browser

beforeAll(async () => {
  world = await startWorld({ logLevel: process.env['TEST_LOG'] ?? 'silent' })
  admin = await world.registerAdmin()
  person = await world.register()
  browser = await startBrowser()
}, browserTimeoutMs)

afterAll(async () => {
  await browser.close()
  await world[Symbol.asyncDispose]()
}, 20_000)

const send = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
  fetch(world.url + path, { method, headers, redirect: 'manual' })

const bearer = ({ token }: Person) => ({ Authorization: `Bearer ${token}` })

/** A dead letter of `notifications`: a task was assigned to the person, who was not notified. */
const makeLetter = async (error = 'a bug'): Promise<{ entry: LogEntry; path: string }> => {
  const { id } = await world.project(admin, { editor: person })
  await world.ask(admin, 'POST', '/api/tasks', { title: 'T', projectId: id, assigneeId: person.id })
  const entry = (await world.entries(projectScope(id))).find(({ type }) => type === 'task.created')!
  await world.server.deps.db.transact((tx) =>
    insertDeadLetter(tx, { consumer: 'notifications', entry, error, attempts: 5 }),
  )
  return { entry, path: `/admin/dead-letters/notifications/${entry.shard}.${entry.seq}/requeue` }
}

const notified = async (): Promise<string[]> =>
  (await world.ask(person, 'GET', '/api/notifications')).items.map(({ taskId }: { taskId: string }) => taskId)

test('only administrators see dead letters and requeue them, with a session and from this site', async () => {
  const { entry, path } = await makeLetter()
  const token = await world.ask(admin, 'POST', '/api/auth/tokens', { name: 'CI', scopes: ['write'] })
  for (const [method, of] of [
    ['GET', '/admin/dead-letters'],
    ['GET', '/admin/dead-letters/list'],
    ['POST', path],
  ] as const) {
    expect((await send(of, {}, method)).status).toBe(401)
    expect((await send(of, bearer(person), method)).status).toBe(403)
    expect((await send(of, { Authorization: `Bearer ${token.token}` }, method)).status).toBe(403)
  }
  const session = await send('/admin/session', bearer(admin), 'POST')
  const cookie = { Cookie: session.headers.get('set-cookie')!.split(';', 1)[0]! }
  expect((await send(path, cookie, 'POST')).status).toBe(403)
  expect((await send(path, { ...cookie, Origin: 'https://evil.example' }, 'POST')).status).toBe(403)
  expect(await notified()).not.toContain(entry.entityId!)
  const { letters } = await (await send('/admin/dead-letters/list', cookie)).json()
  expect(letters).toEqual([
    {
      failedAt: expect.any(String),
      consumer: 'notifications',
      shard: entry.shard,
      seq: entry.seq,
      type: 'task.created',
      scope: entry.scope,
      attempts: 5,
      error: 'a bug',
    },
  ])
  const allowed = { ...cookie, Origin: world.url }
  expect(await (await send(path, allowed, 'POST')).json()).toEqual({ outcome: 'requeued' })
  expect(await (await send(path, allowed, 'POST')).json()).toEqual({ outcome: 'missing' })
  expect((await notified()).filter((id) => id === entry.entityId)).toHaveLength(1)
})

test('a browser without credentials is sent to the sign-in page, and odd names are refused', async () => {
  const answer = await send('/admin/dead-letters', { Accept: 'text/html,*/*' })
  expect([answer.status, answer.headers.get('location')]).toEqual([303, '/admin/sign-in'])
  for (const name of ['notifications/x.1', 'notifications/1.-1', 'notifications/1', 'not%20one/1.1'])
    expect((await send(`/admin/dead-letters/${name}/requeue`, bearer(admin), 'POST')).status).toBe(404)
  const unknown = await send('/admin/dead-letters/none/1.1/requeue', bearer(admin), 'POST')
  expect(await unknown.json()).toEqual({ outcome: 'unknown' })
})

test('an administrator requeues a letter in a browser, which shows its error as text', async () => {
  const { entry } = await makeLetter('<img src=x onerror=alert(1)>')
  const { page, refused } = await openAsAdmin(browser, world, admin, '/admin/dead-letters')
  await page.goto(`${world.url}/admin/dead-letters`)
  await page.getByText('<img src=x onerror=alert(1)>').waitFor({ timeout: 30_000 })
  await page.getByRole('button', { name: 'Requeue' }).click()
  await page.getByText(`notifications ${entry.shard}.${entry.seq} was handled`).waitFor({ timeout: 30_000 })
  await eventually(async () => expect(await notified()).toContain(entry.entityId!))
  expect(await page.getByRole('button', { name: 'Requeue' }).count()).toBe(0)
  expect(refused).toEqual([])
  await page.close()
}, 120_000)
