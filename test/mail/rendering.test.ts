// Mails as a browser draws them: whatever people wrote, nothing is wider than the screen, nothing is loaded, nothing runs.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Browser } from 'playwright-core'
import { notificationKinds } from '../../src/model/notification.ts'
import type { RenderedMail } from '../../src/mail/document.ts'
import { invitationMail, passwordResetMail, verificationMail } from '../../src/mail/templates/account.ts'
import { noticeMail, type Notice } from '../../src/mail/templates/notices.ts'
import { browserTimeoutMs, startBrowser } from '../support/browser.ts'

let browser: Browser

beforeAll(async () => {
  browser = await startBrowser()
}, browserTimeoutMs)

afterAll(() => browser?.close(), 20_000)

const notice: Notice = {
  kind: 'assigned',
  actorName: 'Ada Lovelace',
  taskTitle: 'Write the launch plan',
  projectName: 'Apollo',
  role: 'editor',
  dueAt: '2026-07-01T07:30:00.000Z',
  comment: 'See the draft.',
  createdAt: '2026-11-27T03:59:00.000Z',
}

const texts = {
  'plain words': null,
  'a word without an end': 'W'.repeat(250),
  'such a word of another script': '漢'.repeat(250),
  'an address without an end': `https://example.com/${'a/'.repeat(115)}`,
  'markup that would run': '"><img src="https://example.com/x" onerror="alert(1)"><script>alert(1)</script>',
}

/** Every template, with the text wherever a person could write one. */
const mailsWith = (text: string | null): Record<string, RenderedMail> => {
  const written =
    text === null
      ? notice
      : {
          ...notice,
          actorName: text.slice(0, 100),
          taskTitle: text,
          projectName: text.slice(0, 100),
          comment: `${text}\n\n${text}`,
        }
  const notices = notificationKinds.map((kind) => ({ ...written, kind }))
  const mailOf = (shown: Notice[]): RenderedMail =>
    noticeMail({
      notices: shown,
      total: shown.length,
      timeZone: 'Europe/Berlin',
      unsubscribeUrl: `https://tasks.example.com/api/mail/unsubscribe?token=${'a'.repeat(80)}`,
    })
  const link = {
    url: `https://tasks.example.com/api/pages/verify-email#token=${'a'.repeat(80)}`,
    validMinutes: 60,
    inviterName: written.actorName,
  }
  return {
    ...Object.fromEntries(notices.map((one) => [one.kind, mailOf([one])])),
    digest: mailOf(notices),
    verification: verificationMail(link),
    reset: passwordResetMail(link),
    invitation: invitationMail(link),
  }
}

test.each(Object.entries(texts))(
  'with %s it fits a phone, loads nothing and runs nothing',
  async (_what, text) => {
    const page = await browser.newPage({ viewport: { width: 320, height: 600 } })
    const events: string[] = []
    page.on('request', (request) => events.push(`request of ${request.url()}`))
    page.on('dialog', (dialog) => {
      events.push(`dialog ${dialog.message()}`)
      void dialog.dismiss()
    })
    for (const [name, { html }] of Object.entries(mailsWith(text))) {
      await page.setContent(html)
      const wide = await page.evaluate(() =>
        [...document.querySelectorAll('td, div, h1, a, bdi')]
          .filter((element) => element.getBoundingClientRect().right > document.documentElement.clientWidth)
          .map((element) => element.textContent.slice(0, 40)),
      )
      expect([name, wide]).toEqual([name, []])
    }
    expect(events).toEqual([])
    await page.close()
  },
  60_000,
)
