// The unsubscribe links of mails: a page that changes nothing, and one post that does, without a session.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { unsubscribeTokenOf } from '../../src/auth/unsubscribe-tokens.ts'
import { unsubscribePath } from '../../src/mail/links.ts'
import type { NotificationKind } from '../../src/model/notification.ts'
import { newId } from '../../src/model/scalar.ts'
import { userScope } from '../../src/model/scope.ts'
import { startWorld, testPassword, type Person, type World } from '../support/world.ts'

let world: World
let ada: Person

beforeAll(async () => {
  world = await startWorld()
  ada = await world.register('Ada')
})

afterAll(() => world[Symbol.asyncDispose]())

const tokenOf = (userId: string, ...kinds: NotificationKind[]): string =>
  unsubscribeTokenOf(world.config, { userId, kinds })

const url = (token: string): string => `${world.url}${unsubscribePath}?token=${encodeURIComponent(token)}`

const oneClick = (token: string, init: RequestInit = {}) =>
  fetch(url(token), {
    method: 'POST',
    body: new URLSearchParams({ 'List-Unsubscribe': 'One-Click' }),
    ...init,
  })

const mailedKinds = async (person: Person): Promise<string[]> => {
  const { kinds } = await world.ask(person, 'GET', '/api/notifications/preferences')
  return Object.entries<{ email: boolean }>(kinds)
    .filter(([, { email }]) => email)
    .map(([kind]) => kind)
}

test('The page says what stops, has nothing inline, and changes nothing', async () => {
  const entries = await world.entryCount()
  const answer = await fetch(url(tokenOf(ada.id, 'assigned', 'commented')))
  expect(answer.status).toBe(200)
  expect(answer.headers.get('content-type')).toBe('text/html; charset=utf-8')
  expect(answer.headers.get('cache-control')).toBe('no-store')
  expect(answer.headers.get('content-security-policy')).toContain("default-src 'none'")
  const page = await answer.text()
  expect(page).toContain('tasks that are assigned to you')
  expect(page).toContain('comments on your tasks')
  expect(page).not.toContain('overdue')
  expect(page).not.toMatch(/<script|<style|\sstyle=|@/)
  expect(await mailedKinds(ada)).toContain('assigned')
  expect(await world.entryCount()).toBe(entries)
})

test('One post ends mails of these kinds, and a repeat changes nothing more', async () => {
  const bob = await world.register('Bob')
  const token = tokenOf(bob.id, 'assigned', 'commented')
  const answer = await oneClick(token)
  expect([answer.status, await answer.text()]).toEqual([200, expect.stringContaining('have stopped')])
  const after = await mailedKinds(bob)
  expect(after).not.toContain('assigned')
  expect(after).not.toContain('commented')
  expect(after).toContain('overdue')
  expect(await mailedKinds(ada)).toContain('assigned')
  const { kinds } = await world.ask(bob, 'GET', '/api/notifications/preferences')
  expect(kinds.assigned.inApp).toBe(true)
  expect((await world.entries(userScope(bob.id))).at(-1)).toMatchObject({ type: 'user.updated' })
  const entries = await world.entryCount()
  expect((await oneClick(token)).status).toBe(200)
  expect(await world.entryCount()).toBe(entries)
})

test('Mail providers may post a form of either kind, or nothing', async () => {
  const form = new FormData()
  form.set('List-Unsubscribe', 'One-Click')
  for (const init of [{ body: form }, { body: null }, {}])
    expect((await oneClick(tokenOf(ada.id, 'shared'), init)).status).toBe(200)
})

test('Another body is refused, and so is a large one', async () => {
  const token = tokenOf(ada.id, 'completed')
  const json = await oneClick(token, { body: '{}', headers: { 'Content-Type': 'application/json' } })
  expect(json.status).toBe(415)
  const large = await oneClick(token, { body: new URLSearchParams({ x: 'x'.repeat(10_000) }) })
  expect(large.status).toBe(413)
  expect(await mailedKinds(ada)).toContain('completed')
})

test('A token that was not signed here is 422 with its pointer, for the page and the post', async () => {
  const token = tokenOf(ada.id, 'overdue')
  const forged = `${token.startsWith('A') ? 'B' : 'A'}${token.slice(1)}`
  for (const [method, given, status, code] of [
    ['GET', forged, 422, 'link_invalid'],
    ['POST', forged, 422, 'link_invalid'],
    ['POST', 'x', 422, 'link_invalid'],
    ['POST', 'x'.repeat(101), 422, 'validation_failed'],
    ['POST', '', 422, 'validation_failed'],
  ] as const) {
    const answer = await fetch(url(given), { method })
    const problem = (await answer.json()) as { code: string; errors: { pointer: string }[] }
    expect([answer.status, problem.code]).toEqual([status, code])
    expect(problem.errors.map(({ pointer }) => pointer)).toEqual(['/token'])
  }
  expect((await fetch(`${world.url}${unsubscribePath}`)).status).toBe(422)
  expect(await mailedKinds(ada)).toContain('overdue')
})

test('For an account that is gone there is nothing to do', async () => {
  const gone = await world.register('Gone')
  await world.ask(gone, 'DELETE', '/api/users/me', { password: testPassword })
  for (const id of [gone.id, newId()]) expect((await oneClick(tokenOf(id, 'assigned'))).status).toBe(200)
})
