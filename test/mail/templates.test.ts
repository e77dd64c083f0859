// What mails say: each kind in both forms, in the time zone of the reader, whatever titles and names contain.
import { describe, expect, test } from 'bun:test'
import { notificationKinds } from '../../src/model/notification.ts'
import { invitationMail, passwordResetMail, verificationMail } from '../../src/mail/templates/account.ts'
import { maxCards, noticeMail, timeIn, type Notice } from '../../src/mail/templates/notices.ts'

const unsubscribeUrl = 'https://tasks.example.com/api/mail/unsubscribe?token=a&b=c'

const notice: Notice = {
  kind: 'assigned',
  actorName: 'Ana Müller',
  taskTitle: 'Write the notes',
  projectName: 'Apollo',
  role: null,
  dueAt: '2026-07-01T07:30:00.000Z',
  comment: null,
  createdAt: '2026-11-27T03:59:00.000Z',
}

const mailOf = (over: Partial<Notice> = {}, timeZone = 'Europe/Berlin') =>
  noticeMail({ notices: [{ ...notice, ...over }], total: 1, timeZone, unsubscribeUrl })

/** The text a reader sees. */
const shown = (html: string): string =>
  html
    .slice(html.indexOf('<h1'))
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&amp;', '&')
    .replaceAll(/\s+/g, ' ')

describe('A notification', () => {
  test.each([
    ['assigned', {}, 'Ana Müller assigned “Write the notes” to you'],
    ['shared', { projectName: null }, 'Ana Müller shared “Write the notes” with you'],
    ['mentioned', { comment: 'See this' }, 'Ana Müller mentioned you in “Write the notes”'],
    ['commented', { comment: 'Done' }, 'Ana Müller commented on “Write the notes”'],
    ['completed', {}, 'Ana Müller completed “Write the notes”'],
    ['due_soon', { actorName: null }, '“Write the notes” is due Wed, 1 Jul 2026, 09:30 CEST'],
    ['overdue', { actorName: null }, '“Write the notes” was due Wed, 1 Jul 2026, 09:30 CEST'],
    ['project_invited', { taskTitle: null, role: 'editor' }, 'Ana Müller added you to “Apollo” as editor'],
  ] as [Notice['kind'], Partial<Notice>, string][])('of kind %s has its sentence', (kind, over, sentence) => {
    const { subject, text, html } = mailOf({ kind, ...over })
    expect(subject).toBe(sentence)
    expect(text).toContain(`* ${sentence.slice(0, 40)}`)
    expect(shown(html)).toContain(sentence.slice(-20).replaceAll(/[“”]/g, '').trim().slice(-8))
    expect(text).toContain(unsubscribeUrl)
    expect(html).toContain('href="https://tasks.example.com/api/mail/unsubscribe?token=a&amp;b=c"')
    if (over.comment != null) {
      expect(text).toContain(`  > ${over.comment}`)
      expect(shown(html)).toContain(over.comment)
    }
  })

  test('has a sentence for every kind', () => {
    for (const kind of notificationKinds) expect(mailOf({ kind }).subject.length).toBeGreaterThan(10)
  })

  test('shows no project to a reader who may not read it', () => {
    const { text, html } = mailOf({ projectName: null })
    expect(text + html).not.toContain('Apollo')
  })

  test('names no one where the account is gone', () => {
    expect(mailOf({ actorName: null }).subject).toBe('Someone assigned “Write the notes” to you')
  })
})

test('A digest lists its notices in order, counts those it does not show, and is bounded', () => {
  const comment = 'x'.repeat(5_000)
  const notices = Array.from({ length: maxCards }, (_, n) => ({
    ...notice,
    kind: 'commented' as const,
    taskTitle: `Task ${n}. ${'x'.repeat(240)}`,
    comment,
  }))
  const { subject, text, html } = noticeMail({ notices, total: 60, timeZone: 'UTC', unsubscribeUrl })
  expect(subject).toBe('60 notifications')
  for (const form of [text, shown(html)]) {
    const found = [...form.matchAll(/Task (\d+)\./g)].map(([, n]) => Number(n))
    expect(found).toEqual(Array.from({ length: maxCards }, (_, n) => n))
    expect(form).toContain('And 30 more')
  }
  expect(html.length).toBeLessThan(100_000) // Gmail cuts at 102 KB
})

test.each([
  ['Europe/Berlin', 'Fri, 27 Nov 2026, 04:59 CET'],
  ['Asia/Kolkata', 'Fri, 27 Nov 2026, 09:29 GMT+5:30'],
  ['America/Los_Angeles', 'Thu, 26 Nov 2026, 19:59 GMT-8'],
  ['Mars/Olympus', 'Fri, 27 Nov 2026, 03:59 UTC'],
])('A time in %s', (zone, written) => {
  expect(timeIn('2026-11-27T03:59:00.000Z', zone)).toBe(written)
})

describe('A hostile text', () => {
  const hostile = [
    '<script>alert(1)</script>',
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    '</td></table><form action=https://evil.example>',
    '&lt;b&gt; &amp;',
    'line\r\nBcc: victim@example.org\r\n\r\nbody',
    'line\u2028line\u0085line\u000bline',
    'invoice\u202efdp.exe',
    '\u2066hidden\u2069 \u200bzero\u200bwidth\ufeff',
    'x'.repeat(5_000),
    '\u0000\u0007\u001b[31m',
  ]

  test.each(hostile)('%p stays text, on one line, in its own direction', (text) => {
    const {
      subject,
      text: plain,
      html,
    } = noticeMail({
      notices: [
        { ...notice, kind: 'mentioned', taskTitle: text, actorName: text, projectName: text, comment: text },
      ],
      total: 1,
      timeZone: 'UTC',
      unsubscribeUrl,
    })
    for (const form of [subject, plain, html]) {
      expect(form).not.toMatch(
        // oxlint-disable-next-line no-control-regex -- controls are what must be absent
        /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]/,
      )
    }
    expect(subject).not.toContain('\n')
    expect(Array.from(subject).length).toBeLessThanOrEqual(120)
    expect(plain).not.toMatch(/^(?:Bcc|body)/m)
    expect(html.length).toBeLessThan(20_000)
    const tags = new Set([...html.matchAll(/<\/?([a-z0-9]+)/g)].map(([, tag]) => tag))
    for (const tag of ['script', 'img', 'form', 'b']) expect([...tags]).not.toContain(tag)
    expect(html).not.toMatch(/<[^>]*\son\w+=/)
  })

  test('in a right-to-left script is isolated from the words around it', () => {
    expect(mailOf({ actorName: 'עברית' }).html).toContain('<bdi>עברית</bdi>')
  })
})

describe('A mail about an account', () => {
  const link = {
    url: 'https://tasks.example.com/api/pages/verify-email#token=abc',
    validMinutes: 1440,
    inviterName: null,
  }

  test.each([
    ['verification', verificationMail, 'Confirm your e-mail address'],
    ['password reset', passwordResetMail, 'Reset your password'],
    ['invitation', invitationMail, 'You are invited to Tasktide'],
  ] as const)('(%s) has its link in both forms and no text that a user chose', (_kind, template, subject) => {
    const mail = template(link)
    expect(mail.subject).toBe(subject)
    expect(mail.text).toContain(`\n${link.url}\n`)
    expect(mail.html).toContain(`href="${link.url}"`)
    expect(mail.text).toContain('24 hours')
  })

  test('names the admin who invites', () => {
    const { text, html } = invitationMail({ ...link, inviterName: 'Ada <b>Lovelace' })
    expect(text).toContain('Ada <b>Lovelace invites you')
    expect(html).toContain('<bdi>Ada &lt;b&gt;Lovelace</bdi>')
  })

  test.each([
    [30, '30 minutes'],
    [60, '1 hour'],
    [1440, '24 hours'],
    [7 * 1440, '7 days'],
  ])('that works for %i minutes says %s', (validMinutes, words) => {
    expect(passwordResetMail({ ...link, validMinutes }).text).toContain(words)
  })
})
