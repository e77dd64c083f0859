// Demo data: created once, usable, never in production.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { ConfigError } from '../../src/config.ts'
import { seedDemo } from '../../src/domain/seed.ts'
import { startWorld, type World } from '../support/world.ts'

let world: World

beforeAll(async () => {
  world = await startWorld()
})

afterAll(() => world[Symbol.asyncDispose]())

test('production is refused, and nothing is made', async () => {
  const { deps } = world.server
  const entries = await world.entryCount()
  const refusal = await seedDemo({ ...deps, config: { ...deps.config, env: 'production' } }).catch(
    (error: unknown) => error,
  )
  expect(refusal).toBeInstanceOf(ConfigError)
  expect(await world.entryCount()).toBe(entries)
})

test('the demo users sign in, past the password rule, and share a project; a second time does nothing', async () => {
  expect(await seedDemo(world.server.deps)).toBe(true)
  const login = (email: string, password: string) =>
    world.call('POST', '/api/auth/login', { body: { email, password } })
  const admin = await login('admin@example.com', 'admin123')
  expect(admin).toMatchObject({ status: 200, body: { user: { role: 'admin', emailVerified: true } } })
  const user = await login('user@example.com', 'user123')
  expect(user).toMatchObject({ status: 200, body: { user: { role: 'user' } } })
  for (const { body } of [admin, user]) {
    const { body: projects } = await world.call('GET', '/api/projects', { token: body.accessToken })
    const names = projects.items.map((project: { name: string }) => project.name)
    expect(names).toEqual(['Inbox', 'Launch'])
  }
  const entries = await world.entryCount()
  expect(await seedDemo(world.server.deps)).toBe(false)
  expect(await world.entryCount()).toBe(entries)
})
