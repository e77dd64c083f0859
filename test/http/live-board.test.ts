// The live board in a real browser: two windows see each other's changes, a window without a network keeps its own and sends
// them later, a reload shows the last state, and nothing is loaded from elsewhere or run from what people wrote.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { browserTimeoutMs, startBrowser } from '../support/browser.ts'
import { callsOf } from '../support/tasks.ts'
import { startWorld, testPassword, type Person, type World } from '../support/world.ts'

let world: World
let browser: Browser
let ada: Person
let ben: Person
const stack = new AsyncDisposableStack()

beforeAll(async () => {
  world = stack.use(await startWorld())
  browser = await startBrowser()
  stack.defer(() => browser.close())
  ;({ ada, ben } = await world.people('ada', 'ben'))
}, browserTimeoutMs)
afterAll(() => stack.disposeAsync(), 30_000)

/** A project of Ada with Ben as an editor. */
const newProject = async (): Promise<string> =>
  (await world.project(ada, { editor: ben }, { name: 'Launch' })).id

interface Window extends AsyncDisposable {
  page: Page
  context: BrowserContext
  /** What the page's policy refused, requests to other hosts, and errors of its script. */
  faults: string[]
}

/** A window of the person, signed in, that shows the project. */
const openWindow = async (person: Person, projectId: string): Promise<Window> => {
  const context = await browser.newContext()
  const page = await context.newPage()
  const faults: string[] = []
  page.on('pageerror', (error) => faults.push(error.message))
  page.on('console', (message) => {
    if (/Content.Security.Policy|Refused/i.test(message.text())) faults.push(message.text())
  })
  page.on('request', (request) => {
    if (!request.url().startsWith(world.url) && !request.url().startsWith('data:')) faults.push(request.url())
  })
  await page.goto(`${world.url}/board#${projectId}`)
  await page.fill('[name=email]', person.email)
  await page.fill('[name=password]', testPassword)
  await page.click('button')
  await page.waitForSelector('.state[data-state=live]')
  return { page, context, faults, [Symbol.asyncDispose]: () => context.close() }
}

const card = (page: Page, title: string, status?: string) =>
  page.locator(`ul${status === undefined ? '' : `[data-status=${status}]`} > li`, { hasText: title })

const add = async (page: Page, title: string, column = 'To do'): Promise<void> => {
  await page.getByLabel(`New task in ${column}`).fill(title)
  await page.getByLabel(`New task in ${column}`).press('Enter')
}

/** Once nothing waits to be sent. */
const untilSent = (page: Page) => page.waitForFunction(() => document.querySelector('li.pending') === null)

test('two windows show each other’s tasks, changes and people, and the server has what they show', async () => {
  const projectId = await newProject()
  await using first = await openWindow(ada, projectId)
  await using second = await openWindow(ben, projectId)
  await add(first.page, 'Pick a date')
  await card(second.page, 'Pick a date', 'todo').waitFor()
  await card(second.page, 'Pick a date').getByLabel('Status').selectOption('in_progress')
  await card(first.page, 'Pick a date', 'in_progress').waitFor()
  await card(first.page, 'Pick a date').locator('.title').click()
  await first.page.getByLabel('Title', { exact: true }).fill('Pick a launch date')
  await first.page.keyboard.press('Enter')
  await card(second.page, 'Pick a launch date', 'in_progress').waitFor()
  await first.page.waitForFunction(() => document.querySelectorAll('.people span').length === 2)
  await untilSent(first.page)
  const { items } = await world.ask(ada, 'GET', `/api/tasks?projectId=${projectId}`)
  expect(items).toMatchObject([{ title: 'Pick a launch date', status: 'in_progress' }])
  await card(second.page, 'Pick a launch date').getByLabel('Delete Pick a launch date').click()
  await card(first.page, 'Pick a launch date').waitFor({ state: 'detached' })
  expect([first.faults, second.faults]).toEqual([[], []])
}, 60_000)

test('a card that is dropped before another one gets its status and its place', async () => {
  const projectId = await newProject()
  const { task } = callsOf(world, ada)
  await task({ title: 'First', projectId, status: 'done' })
  await task({ title: 'Second', projectId, status: 'done' })
  await task({ title: 'Dragged', projectId })
  await using window = await openWindow(ada, projectId)
  const { page } = window
  await card(page, 'Dragged', 'todo').waitFor()
  await card(page, 'Dragged').dragTo(card(page, 'Second'), { targetPosition: { x: 20, y: 3 } })
  await card(page, 'Dragged', 'done').waitFor()
  await untilSent(page)
  expect(await page.locator('ul[data-status=done] .title').allTextContents()).toEqual([
    'First',
    'Dragged',
    'Second',
  ])
  const { items } = await world.ask(ada, 'GET', `/api/tasks?projectId=${projectId}&status=done&sort=rank`)
  expect(items.map(({ title }: { title: string }) => title)).toEqual(['First', 'Dragged', 'Second'])
}, 60_000)

test('changes made without a network are kept over a reload and sent with the next connection', async () => {
  const projectId = await newProject()
  await using window = await openWindow(ada, projectId)
  await using other = await openWindow(ben, projectId)
  const { page, context } = window
  await context.setOffline(true)
  await page.waitForSelector('.state[data-state=offline]')
  await add(page, 'Written on a train')
  await card(page, 'Written on a train', 'todo').waitFor()
  expect(await page.locator('li.pending').count()).toBe(1)
  await context.setOffline(false)
  await page.reload()
  await card(other.page, 'Written on a train', 'todo').waitFor()
  await untilSent(page)
  expect(await card(page, 'Written on a train').count()).toBe(1)
  const { items } = await world.ask(ada, 'GET', `/api/tasks?projectId=${projectId}&status=todo`)
  expect(items.map(({ title }: { title: string }) => title)).toEqual(['Written on a train'])
}, 60_000)

test('what people write is text, and a window whose right ends shows nothing any more', async () => {
  const projectId = await newProject()
  const title = '<img src=x onerror="document.title=`owned`"> & <b>bold</b>'
  await callsOf(world, ada).task({ title, projectId })
  await using window = await openWindow(ben, projectId)
  const { page, faults } = window
  await card(page, title).waitFor()
  expect(await page.locator('li img, li b').count()).toBe(0)
  expect(await page.title()).toBe('Launch · Tasktide')
  await world.ask(ada, 'DELETE', `/api/projects/${projectId}/members/${ben.id}`)
  await page.waitForSelector('[name=email]')
  expect(await page.content()).not.toContain('onerror')
  expect(faults).toEqual([])
}, 60_000)

test('signing out ends the session and leaves nothing of the project in the window', async () => {
  const projectId = await newProject()
  await using window = await openWindow(ada, projectId)
  const { page } = window
  await page.getByText('Sign out').click()
  await page.waitForSelector('[name=email]')
  await page.reload()
  await page.waitForSelector('[name=email]')
  expect(await page.content()).not.toContain('Launch')
}, 60_000)
