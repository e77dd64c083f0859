// The pages of error codes: every code has one, in both forms, and a problem's `type` leads to it.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { codes, errorCodes, statusOf } from '../../src/errors.ts'
import { prefersMarkdown } from '../../src/http/problems/accept.ts'
import { explanations } from '../../src/http/problems/explanations.ts'
import { startWorld, type World } from '../support/world.ts'

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
