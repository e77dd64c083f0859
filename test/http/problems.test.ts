// The pages of error codes: every code has one, in both forms, and a problem's `type` leads to it.
import { Value } from '@sinclair/typebox/value'
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { codes, errorCodes, statusOf } from '../../src/errors.ts'
import { prefersMarkdown } from '../../src/http/problems/accept.ts'
import { explanations } from '../../src/http/problems/explanations.ts'
import { Problem } from '../../src/model/problem.ts'
import { startWorld, testPassword, type World } from '../support/world.ts'

let world: World

beforeAll(async () => {
  world = await startWorld()
})

afterAll(() => world[Symbol.asyncDispose]())

const read = async (path: string, headers: Record<string, string> = {}) => {
  const response = await fetch(world.url + path, { headers })
  return { status: response.status, headers: response.headers, text: await response.text() }
}

test('every code is explained, in sentences', () => {
  expect(Object.keys(explanations).toSorted()).toEqual([...errorCodes].toSorted())
  for (const [code, { happened, remedies }] of Object.entries(explanations)) {
    expect([code, remedies.length > 0]).toEqual([code, true])
    for (const text of [happened, ...remedies])
      expect([code, text]).toEqual([code, expect.stringMatching(/^[A-Z`][^<>]*(?:<[a-z ]+>[^<>]*)*[.!]$/)])
  }
})

test('every code has a page that says what happened and what to do, as HTML and as Markdown', async () => {
  for (const code of errorCodes) {
    const [, title] = codes[code]
    const html = await read(`/problems/${code}`, { Accept: 'text/html,application/xhtml+xml,*/*;q=0.8' })
    expect([code, html.status, html.headers.get('content-type')]).toEqual([
      code,
      200,
      'text/html; charset=utf-8',
    ])
    expect(html.headers.get('vary')).toContain('Accept')
    const escaped = title.replaceAll('&', '&amp;')
    for (const part of [`<h1>${escaped}</h1>`, 'What happened', 'What to do', `<code>${code}</code>`])
      expect(html.text).toContain(part)
    const markdown = await read(`/problems/${code}`, { Accept: 'text/markdown' })
    expect(markdown.headers.get('content-type')).toBe('text/markdown; charset=utf-8')
    expect(markdown.text).toStartWith(`# ${title}\n\nStatus ${statusOf[codes[code][0]]} `)
    expect(markdown.text).toContain(explanations[code].happened)
    for (const remedy of explanations[code].remedies) expect(markdown.text).toContain(`- ${remedy}`)
    const example: unknown = JSON.parse(/```json\n(.*)\n```/s.exec(markdown.text)![1]!)
    expect([code, Value.Errors(Problem, example).First()]).toEqual([code, undefined])
  }
})

test('the example on a page has the members of the answer', async () => {
  const ada = await world.register()
  const bob = await world.register()
  await world.project(ada, { editor: bob })
  const exampleOn = async (code: string): Promise<object> =>
    JSON.parse(
      /```json\n(.*)\n```/s.exec((await read(`/problems/${code}`, { Accept: 'text/markdown' })).text)![1]!,
    )
  const task = await world.ask(ada, 'POST', '/api/tasks', { title: 'One' })
  const [path, token] = [`/api/tasks/${task.id}`, ada.token]
  await world.ask(ada, 'PATCH', path, { title: 'Two' })
  const { cursor } = await world.ask<{ cursor: string }>(ada, 'GET', '/api/users/me/snapshot')
  const otherEpoch = cursor.replace(/^\w+/, 'otherepoch')
  const requests: Record<string, Parameters<typeof world.call>> = {
    version_conflict: ['PATCH', path, { token, body: { title: 'Three' }, headers: { 'If-Match': '"1"' } }],
    validation_failed: ['PATCH', path, { token, body: { title: '' } }],
    sole_owner: ['DELETE', '/api/users/me', { token, body: { password: testPassword } }],
    cursor_expired: ['GET', `/api/sync?scope=user:me&cursor=${otherEpoch}`, { token }],
    method_not_allowed: ['DELETE', '/api/tasks', { token }],
    link_invalid: ['POST', '/api/auth/email/verify/confirm', { body: { token: 'none' } }],
    user_not_found: [
      'POST',
      `${path}/shares`,
      { token, body: { email: 'no@example.com', permission: 'view' } },
    ],
    not_found: ['GET', `/api/tasks/${bob.id}`, { token }],
  }
  for (const [code, request] of Object.entries(requests)) {
    const { body } = await world.call(...request)
    expect(body.code).toBe(code)
    expect([code, Object.keys(await exampleOn(code)).toSorted()]).toEqual([
      code,
      Object.keys(body).toSorted(),
    ])
  }
})

test('the type of a problem leads to its page, and the list to all of them', async () => {
  const problem = await world.call('GET', '/api/tasks')
  expect((await read(problem.body.type)).text).toContain('Authorization: Bearer')
  const list = await read('/problems')
  for (const code of errorCodes) expect(list.text).toContain(`href="/problems/${code}"`)
  expect((await read('/problems', { Accept: 'text/markdown' })).text).toContain(
    '- [`not_found`](/problems/not_found)',
  )
})

test('what is no code is a problem itself; a page that is known costs nothing', async () => {
  for (const path of ['/problems/nothing', '/problems/NOT_FOUND', '/problems/', '/problems/constructor']) {
    const { status, headers } = await read(path)
    expect([path, status, headers.get('content-type')]).toEqual([path, 404, 'application/problem+json'])
  }
  const { headers } = await read('/problems/conflict')
  expect((await read('/problems/conflict', { 'If-None-Match': headers.get('etag')! })).status).toBe(304)
  expect(headers.get('content-security-policy')).toMatch(
    /^default-src 'none'; style-src 'sha256-[\w+/=]{44}';/,
  )
})

test.each([
  [null, false],
  ['*/*', false],
  ['text/html', false],
  ['text/markdown', true],
  ['text/markdown, text/html;q=0.9', true],
  ['text/html, text/markdown', false],
  ['text/html;q=0.5, text/markdown;q=0.6', true],
  ['text/*, text/html;q=0.3', true],
  ['text/markdown;q=0, */*', false],
  ['TEXT/MARKDOWN; q=1', true],
  ['application/json', false],
  ['text/markdown;q=nonsense', false],
  [','.repeat(100_000), false],
])('Accept: %j prefers Markdown: %p', (accept, isMarkdown) => {
  expect(prefersMarkdown(accept)).toBe(isMarkdown)
})
