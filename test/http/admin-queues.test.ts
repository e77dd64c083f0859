// The board of the job queues: who may open it, what it can do, and how a browser shows it under the page's policy.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Browser } from 'playwright-core'
import { insertDeliveries } from '../../src/db/deliveries/deliveries.ts'
import { addJobs } from '../../src/queues/job-queues.ts'
import { newId } from '../../src/model/scalar.ts'
import { JobRefused } from '../../src/worker/jobs/processor.ts'
import { browserTimeoutMs, startBrowser } from '../support/browser.ts'
import { eventually } from '../support/eventually.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { openAsAdmin } from './admin-browser.ts'
import { createEffects, effectsOf, openJobs, processorOf } from '../worker/jobs/rig.ts'

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

const get = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
  fetch(world.url + path, { method, headers, redirect: 'manual' })

const bearer = ({ token }: Person) => ({ Authorization: `Bearer ${token}` })

const openSession = async (one: Person): Promise<Response> => get('/admin/session', bearer(one), 'POST')

const paths = [
  '/admin/queues',
  '/admin/queues/queue/files',
  '/admin/queues/api/queues',
  '/admin/queues/static/images/logo.svg',
]

test('only administrators open the board, with a session', async () => {
  const token = await world.ask(admin, 'POST', '/api/auth/tokens', { name: 'CI', scopes: ['write'] })
  for (const path of paths) {
    expect((await get(path)).status).toBe(401)
    expect((await get(path, bearer(person))).status).toBe(403)
    expect((await get(path, { Authorization: `Bearer ${token.token}` })).status).toBe(403)
    const opened = await get(path, bearer(admin))
    expect(opened.status).toBe(200)
    expect(opened.headers.get('content-security-policy')).toContain("default-src 'none'")
  }
  expect((await get('/admin/queues/static/js/none.js', bearer(admin))).status).toBe(404)
  expect((await get('/admin/queues/static/..%2f..%2fpackage.json', bearer(admin))).status).toBe(404)
})

test('a browser without credentials is sent to the sign-in page', async () => {
  const answer = await get('/admin/queues', { Accept: 'text/html,*/*' })
  expect([answer.status, answer.headers.get('location')]).toEqual([303, '/admin/sign-in'])
})

test('the cookie of an administrator opens the board and changes nothing for other sites', async () => {
  expect((await openSession(person)).status).toBe(403)
  const cookie = (await openSession(admin)).headers.get('set-cookie')!
  expect(cookie).toMatch(/^tide_admin=.*; Path=\/admin; Max-Age=900; HttpOnly; SameSite=Strict$/)
  const held = { Cookie: cookie.split(';', 1)[0]! }
  expect((await get('/admin/queues/api/queues', held)).status).toBe(200)
  const promote = '/admin/queues/api/queues/files/promote'
  expect((await get(promote, held, 'PUT')).status).toBe(403)
  expect((await get(promote, { ...held, Origin: 'https://evil.example' }, 'PUT')).status).toBe(403)
  expect((await get(promote, { ...held, Origin: world.url }, 'PUT')).status).toBe(200)
  // The cookie is no credential outside of /admin.
  expect((await get('/api/users/me', held)).status).toBe(401)
})

test('the board adds, edits and empties nothing', async () => {
  for (const [method, path] of [
    ['POST', 'files/add'],
    ['PUT', 'files/empty'],
    ['PUT', 'files/obliterate'],
    ['PUT', 'files/pause'],
    ['PATCH', 'files/1/update-data'],
  ])
    expect((await get(`/admin/queues/api/queues/${path}`, bearer(admin), method)).status).toBeOneOf([
      404, 405,
    ])
})

test('a server runs no job', async () => {
  const id = newId()
  await addJobs(await world.server.deps.queues.get(), [
    { id, kind: 'files.delete', payload: { keys: ['attachments/none'] } },
  ])
  const job = await (await world.server.deps.queues.get()).of('files').getJob(id)
  expect(await job!.getState()).toBe('waiting')
  expect(await (await world.server.deps.queues.get()).of('files').getWorkersCount()).toBe(0)
  await job!.remove()
})

test('an administrator signs in with a browser, sees a failed job and retries it', async () => {
  const { db } = world.server.deps
  await createEffects(db)
  let isRefused = true
  await using _jobs = await openJobs(world, [
    processorOf(async () => {
      if (isRefused) throw new JobRefused('the bucket does not exist')
    }),
  ])
  await db.transact((tx) =>
    insertDeliveries(tx, [
      { kind: 'files.delete', payload: { keys: ['attachments/one'] }, dedupeKey: 'one' },
    ]),
  )
  await eventually(
    async () => expect(await (await world.server.deps.queues.get()).of('files').getFailedCount()).toBe(1),
    {
      timeoutMs: 20_000,
      everyMs: 100,
    },
  )
  const { page, refused } = await openAsAdmin(browser, world, admin, '/admin/queues')
  await page.getByText('maintenance').first().waitFor({ timeout: 30_000 })
  await page.goto(`${world.url}/admin/queues/queue/files?status=failed`)
  await page.getByText('files.delete').first().waitFor({ timeout: 30_000 })
  if (process.env['SCREENSHOT'] !== undefined) await page.screenshot({ path: process.env['SCREENSHOT'] })
  await page.getByRole('tab', { name: 'Error' }).first().click()
  await page.getByText('the bucket does not exist').first().waitFor({ timeout: 30_000 })
  isRefused = false
  await page.getByRole('button', { name: 'Retry all' }).click()
  await page
    .getByRole('button', { name: /confirm/i })
    .click({ timeout: 5_000 })
    .catch(() => {}) // where it asks
  await eventually(async () => expect(await effectsOf(db)).toEqual(['attachments/one']), {
    timeoutMs: 20_000,
    everyMs: 100,
  })
  expect(refused).toEqual([])
  await page.close()
}, 120_000)
