// The live board in a real browser: two windows see each other's changes, a window without a network keeps its own and sends
// them later, also after a reload, and nothing is loaded from elsewhere or run from what people wrote.
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

test('Alt and an arrow key move a card in its column, which keeps the focus', async () => {
  const projectId = await newProject()
  const { task } = callsOf(world, ada)
  for (const title of ['First', 'Second', 'Third']) await task({ title, projectId })
  await using window = await openWindow(ada, projectId)
  const { page } = window
  const titles = () => page.locator('ul[data-status=todo] .title').allTextContents()
  const untilOrder = (...order: string[]) =>
    page.waitForFunction(
      (wanted) =>
        [...document.querySelectorAll('ul[data-status=todo] .title')]
          .map(({ textContent }) => textContent)
          .join() === wanted,
      order.join(),
    )
  await card(page, 'First').locator('.title').focus()
  await page.keyboard.press('Alt+ArrowDown')
  await untilOrder('Second', 'First', 'Third')
  await page.keyboard.press('Alt+ArrowDown')
  await untilOrder('Second', 'Third', 'First')
  await page.keyboard.press('Alt+ArrowDown') // the last one stays where it is
  await page.keyboard.press('Alt+ArrowUp')
  await untilOrder('Second', 'First', 'Third')
  expect(await page.evaluate(() => document.activeElement?.textContent)).toBe('First')
  await untilSent(page)
  expect(await titles()).toEqual(['Second', 'First', 'Third'])
  const { items } = await world.ask(ada, 'GET', `/api/tasks?projectId=${projectId}&sort=rank`)
  expect(items.map(({ title }: { title: string }) => title)).toEqual(['Second', 'First', 'Third'])
  expect(window.faults).toEqual([])
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
  await page.getByText('you may not read it any more').waitFor()
  expect(await page.content()).not.toContain('onerror')
  await page.getByText('Show my projects').click()
  await page.waitForSelector('.state[data-state=live]')
  expect(faults).toEqual([])
}, 60_000)

test('an edit is not lost to changes of others, and does not overwrite what was not seen', async () => {
  const projectId = await newProject()
  const { task } = callsOf(world, ada)
  await task({ title: 'Other', projectId })
  const { id } = await task({ title: 'Before', projectId })
  await using window = await openWindow(ada, projectId)
  const { page } = window
  await card(page, 'Before').locator('.title').click()
  await page.keyboard.type('My title')
  await world.ask(ben, 'POST', `/api/tasks/${id}/move`, { projectId })
  await world.ask(ben, 'PATCH', `/api/tasks/${id}`, { priority: 'urgent' })
  await page.waitForSelector('li[data-priority=urgent]')
  expect(await page.getByLabel('Title', { exact: true }).inputValue()).toBe('My title')
  await world.ask(ben, 'PATCH', `/api/tasks/${id}`, { title: 'Renamed', status: 'done' })
  await page.waitForSelector(`ul[data-status=done] > li[data-id="${id}"]`)
  await page.keyboard.press('Enter')
  await page.getByText('was not saved: the task was renamed').waitFor()
  await card(page, 'Renamed', 'done').waitFor()
  expect((await world.ask(ada, 'GET', `/api/tasks/${id}`)).title).toBe('Renamed')
}, 60_000)

test('a viewer sees everything and is offered no change', async () => {
  const { id: projectId } = await world.project(ada, { viewer: ben }, { name: 'Launch' })
  await callsOf(world, ada).task({ title: 'Look only', projectId })
  await using window = await openWindow(ben, projectId)
  const { page } = window
  await card(page, 'Look only').waitFor()
  await page.getByText('live, read only').waitFor()
  expect(await page.locator('.title').first().isDisabled()).toBe(true)
  expect(await page.getByLabel('New task in To do').isVisible()).toBe(false)
  expect(await page.getByLabel('Delete Look only').isVisible()).toBe(false)
}, 60_000)

test('an address of no project leaves the board that is open', async () => {
  const projectId = await newProject()
  await using window = await openWindow(ada, projectId)
  const { page } = window
  await page.evaluate((id) => {
    location.hash = id
  }, 'no-such-project')
  // Her first project is shown now, which may be this one.
  await page.waitForFunction(() => location.hash !== '#no-such-project')
  const shown = await page.evaluate(() => location.hash)
  await page.waitForSelector('.state[data-state=live]')
  await page.evaluate(() => {
    location.hash = 'another-one'
  })
  await page.waitForFunction((hash) => location.hash === hash, shown)
  await add(page, 'Still works')
  await card(page, 'Still works', 'todo').waitFor()
  await untilSent(page)
  expect(await page.locator('.state').getAttribute('data-state')).toBe('live')
  expect(window.faults).toEqual([])
}, 60_000)

test('a link leads to a project in an open window, and signing out without a network says what it does not do', async () => {
  const [first, second] = [await newProject(), (await world.project(ada, {}, { name: 'Second' })).id]
  await using window = await openWindow(ada, first)
  const { page, context } = window
  await page.evaluate((id) => {
    location.hash = id
  }, second)
  await page.waitForFunction(() => document.title === 'Second · Tasktide')
  await context.setOffline(true)
  await page.getByText('Sign out').click()
  await page.getByText('until then this browser stays signed in').waitFor()
  await page.waitForSelector('[name=email]')
  expect(await page.content()).not.toContain('Second')
  await context.setOffline(false)
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
