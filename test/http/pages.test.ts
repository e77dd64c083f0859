// The pages that links in mails lead to, in a real browser: they work without a front end, under a policy without
// anything inline, change nothing by being opened, and say what is wrong.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { Browser, Page } from 'playwright-core'
import { pagePaths } from '../../src/mail/links.ts'
import type { LinkKind } from '../../src/model/invitation.ts'
import { browserTimeoutMs, startBrowser } from '../support/browser.ts'
import { mailedToken } from '../support/mailed-link.ts'
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

interface Opened extends AsyncDisposable {
  page: Page
  /** Of the console, of scripts and of requests to other hosts. */
  complaints: string[]
}

const open = async (kind: LinkKind, token: string): Promise<Opened> => {
  const page = await browser.newPage()
  const complaints: string[] = []
  page.on('console', (message) => {
    // Chromium reports a 4xx of the form itself.
    if (
      !['info', 'verbose', 'debug'].includes(message.type()) &&
      !message.text().includes('the server responded with a status of 4')
    )
      complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('request', (request) => {
    const { protocol, origin } = new URL(request.url())
    if (protocol !== 'data:' && origin !== world.url) complaints.push(request.url())
  })
  await page.goto(`${world.url}${pagePaths[kind]}#token=${token}`)
  return { page, complaints, [Symbol.asyncDispose]: () => page.close() }
}

const signIn = (email: string, password: string) =>
  world.call('POST', '/api/auth/login', { body: { email, password } })

test('an address is confirmed by the button, not by opening the page', async () => {
  const ada = await world.register('Ada')
  await world.ask(ada, 'POST', '/api/auth/email/verify/request')
  const token = await mailedToken(world, 'verification', ada.email)
  await using opened = await open('verification', token)
  const { page, complaints } = opened
  expect((await world.ask(ada, 'GET', '/api/users/me')).emailVerified).toBe(false)
  await page.getByRole('button', { name: 'Confirm address' }).click()
  await page.getByText('Your address is confirmed.').waitFor()
  expect((await world.ask(ada, 'GET', '/api/users/me')).emailVerified).toBe(true)
  expect(page.url()).not.toContain('token')
  expect(complaints).toEqual([])
}, 40_000)

test('a new password is set; a refused one is explained and can be corrected', async () => {
  const ada = await world.register('Ada')
  await world.call('POST', '/api/auth/password-reset/request', { body: { email: ada.email } })
  await using opened = await open('password_reset', await mailedToken(world, 'password_reset', ada.email))
  const { page, complaints } = opened
  await page.getByLabel('Password').fill('password123')
  await page.getByRole('button').click()
  await page.getByRole('alert').waitFor()
  expect(await page.getByRole('alert').textContent()).toMatch(/^Password .+\.$/)
  await page.getByLabel('Password').fill('another horse battery')
  await page.getByRole('button').click()
  await page.getByText('Your password is changed.').waitFor()
  expect((await signIn(ada.email, 'another horse battery')).status).toBe(200)
  expect(complaints).toEqual([])
}, 40_000)

test('an invitation becomes an account with a verified address', async () => {
  const admin = await world.registerAdmin()
  const email = `invited-${crypto.randomUUID()}@example.com`
  await world.ask(admin, 'POST', '/api/invitations', { email })
  await using opened = await open('invitation', await mailedToken(world, 'invitation', email))
  const { page, complaints } = opened
  await page.getByLabel('Name').fill('Ivy')
  await page.getByLabel('E-mail address').fill(email)
  await page.getByLabel('Password').fill('correct horse battery')
  await page.getByRole('button').click()
  await page.getByText('Your account is created.').waitFor()
  const { status, body } = await signIn(email, 'correct horse battery')
  expect([status, body.user]).toEqual([200, expect.objectContaining({ name: 'Ivy', emailVerified: true })])
  expect(complaints).toEqual([])
}, 40_000)

describe('a link that is no use', () => {
  test('says so, and the form stays', async () => {
    await using opened = await open('verification', 'abc')
    const { page, complaints } = opened
    await page.getByRole('button').click()
    await page.getByText('The link is not valid.').waitFor()
    expect(complaints).toEqual([])
  }, 40_000)

  test('without its token leads nowhere', async () => {
    await using opened = await open('password_reset', '')
    await opened.page.getByText('The address is incomplete.').waitFor()
    expect(await opened.page.getByRole('button').isVisible()).toBe(false)
  }, 40_000)
})

test.each(Object.values(pagePaths))(
  '%s has nothing inline, loads from here alone and is not kept',
  async (path) => {
    const { status, headers, body } = await world.call<string>('GET', path)
    expect(status).toBe(200)
    const policy = headers.get('content-security-policy')!
    expect(policy).toContain("default-src 'none'")
    expect(policy).not.toContain('unsafe')
    expect(policy).toContain("frame-ancestors 'none'")
    expect(headers.get('cache-control')).toBe('no-store')
    expect(headers.get('referrer-policy')).toBe('no-referrer')
    expect(body).not.toMatch(/<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=/)
    expect(body).not.toMatch(/(?:src|href)="(?:https?:)?\/\//)
  },
)
