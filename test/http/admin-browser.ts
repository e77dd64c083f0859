// An administrator in a browser, who signs in on the way to a page.
import type { Browser, Page } from 'playwright-core'
import { testPassword, type Person, type World } from '../support/world.ts'

/**
 * Opens `path` signed in. `refused` collects what the policy of a page refuses and requests to other hosts: it must stay
 * empty.
 */
export const openAsAdmin = async (
  browser: Browser,
  { url }: World,
  { email }: Person,
  path: string,
): Promise<{ page: Page; refused: string[] }> => {
  const page = await browser.newPage()
  const refused: string[] = []
  page.on('console', (message) => {
    if (/Content.Security.Policy|Refused/i.test(message.text())) refused.push(message.text())
  })
  page.on('request', (request) => {
    if (!request.url().startsWith(url) && !request.url().startsWith('data:')) refused.push(request.url())
  })
  await page.goto(url + path)
  await page.fill('[name=email]', email)
  await page.fill('[name=password]', testPassword)
  await page.click('button')
  await page.waitForURL(`${url}/admin/queues`, { timeout: 30_000 })
  return { page, refused }
}
