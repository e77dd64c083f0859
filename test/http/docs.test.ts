// The interactive page in a real browser: it draws every operation from this server alone, under its own policy.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Browser } from 'playwright-core'
import { browserTimeoutMs, startBrowser } from '../support/browser.ts'
import { startWorld, type World } from '../support/world.ts'

let world: World
let browser: Browser

beforeAll(async () => {
  world = await startWorld()
  browser = await startBrowser()
}, browserTimeoutMs)

afterAll(async () => {
  await browser?.close()
  await world?.[Symbol.asyncDispose]()
}, 20_000)

test('The page shows the whole API, loads from this server alone and violates no policy', async () => {
  const page = await browser.newPage()
  const complaints: string[] = []
  const origins: string[] = []
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('request', (request) => {
    const { protocol, origin } = new URL(request.url())
    if (protocol !== 'data:' && protocol !== 'blob:') origins.push(origin)
  })

  await page.goto(`${world.url}/api/docs`)
  await page.waitForSelector('.opblock', { timeout: 20_000 })

  const { body } = await world.call('GET', '/api/openapi.json')
  const operations = Object.values<object>(body.paths).flatMap(Object.keys)
  expect(await page.locator('.opblock').count()).toBe(operations.length)
  expect(await page.title()).toBe('Tasktide API')
  expect([...new Set(origins)]).toEqual([world.url])
  expect(complaints).toEqual([])
  await page.close()
}, 40_000)

test('A request tried out on the page reaches the server', async () => {
  const page = await browser.newPage()
  await page.goto(`${world.url}/api/docs`)
  const operation = page.locator('#operations-Operations-version')
  await operation.locator('.opblock-summary').click()
  await operation.getByRole('button', { name: 'Try it out' }).click()
  await operation.getByRole('button', { name: 'Execute' }).click()
  await operation.locator('.live-responses-table').waitFor({ timeout: 10_000 })
  expect(await operation.locator('.live-responses-table').innerText()).toContain('"name": "tasktide"')
  await page.close()
}, 40_000)

test('Nothing on the page is inline, and the policy allows nothing inline', async () => {
  const { headers, body } = await world.call<string>('GET', '/api/docs')
  const policy = headers.get('content-security-policy')!
  expect(policy).toContain("default-src 'none'")
  expect(policy).not.toContain('unsafe')
  expect(policy).toContain("frame-ancestors 'none'")
  expect(body).not.toMatch(/<script(?![^>]*\ssrc=)/)
  expect(body).not.toMatch(/<style|\sstyle=|\son\w+=/)
  expect(body).not.toMatch(/(?:src|href)="(?:https?:)?\/\//)
})

test('Without API_DOCS there is no page; the document stays', async () => {
  await using server = await world.another({ apiDocs: false })
  const status = async (path: string) => (await fetch(server.url + path)).status
  expect(await status('/api/docs')).toBe(404)
  expect(await status('/api/docs/swagger-ui.js')).toBe(404)
  expect(await status('/api/openapi.json')).toBe(200)
})
