// What refusing a request costs: a value whose length or number of parts decides is refused without its content
// being read, so that no body takes more CPU than reading it.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { TSchema } from '@sinclair/typebox'
import { violationsIn } from '../../src/http/violations.ts'
import { Registration, SignIn } from '../../src/model/credentials.ts'
import { NewTask } from '../../src/model/task.ts'
import { startWorld, type Person, type World } from '../support/world.ts'

let world: World
let person: Person

beforeAll(async () => {
  world = await startWorld()
  person = await world.register()
})

afterAll(() => world[Symbol.asyncDispose](), 20_000)

describe('refusing a value far beyond its limit', () => {
  const mib = 1024 * 1024
  const keys = Object.fromEntries(Array.from({ length: 95_000 }, (_, n) => [n.toString(36) + 'k', 1]))
  const id = '01933b6e-7c4a-7d3e-8f21-000000000000'
  const operations = { operations: Array.from({ length: 65_000 }, () => ({ op: 'no' })) }
  const spaces = ' '.repeat(mib)

  const values: [string, string, string, unknown, TSchema?][] = [
    [
      'an e-mail of 1 MiB',
      'POST',
      '/api/auth/login',
      { email: 'é'.repeat(mib / 2 - 100), password: 'x' },
      SignIn,
    ],
    [
      'an e-mail of spaces',
      'POST',
      '/api/auth/login',
      { email: spaces.slice(0, -99), password: 'x' },
      SignIn,
    ],
    [
      'a password of 1 MiB',
      'POST',
      '/api/auth/register',
      { email: 'a@b.c', name: 'x', password: 'x'.repeat(mib - 99) },
      Registration,
    ],
    ['a title of 1 MiB', 'POST', '/api/tasks', { title: 'x'.repeat(mib - 99) }, NewTask],
    [
      'a due time of 1 MiB',
      'POST',
      '/api/tasks',
      { title: 'x', dueAt: '2026-11-20T10:00:00.' + '0'.repeat(mib - 99) },
      NewTask,
    ],
    ['a parent of 1 MiB', 'POST', '/api/tasks', { title: 'x', parentId: 'a'.repeat(mib - 99) }, NewTask],
    ['a time zone of 1 MiB', 'POST', '/api/auth/register', { timeZone: 'E'.repeat(mib - 99) }, Registration],
    [
      '200,000 tags',
      'POST',
      '/api/tasks',
      { title: 'x', tags: Array.from({ length: 200_000 }, () => 'a') },
      NewTask,
    ],
    ['95,000 unknown keys', 'POST', '/api/auth/login', keys, SignIn],
    ['95,000 unknown keys of a task', 'POST', '/api/tasks', keys, NewTask],
    ['a batch of 65,000 bad operations', 'POST', '/api/tasks/batch', operations],
    [
      '100 operations with 100 faults each',
      'POST',
      '/api/tasks/batch',
      {
        operations: Array.from({ length: 100 }, () => ({
          op: 'update',
          id,
          data: Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`k${n}`, n])),
        })),
      },
    ],
  ]

  for (const [what, method, path, value, schema] of values) {
    if (schema && value !== keys)
      // of 95,000 members none are walked: the body has too many
      test(`takes under 5 ms: ${what}`, () => {
        const times = Array.from({ length: 7 }, () => {
          const startedAt = performance.now()
          const faults = violationsIn(schema, value)
          const took = performance.now() - startedAt
          expect(faults.length).toBeGreaterThan(0)
          expect(faults.length).toBeLessThanOrEqual(20)
          return took
        })
        expect(Math.min(...times)).toBeLessThan(5) // without the walk 20 to 150 ms
      })

    test(`costs a request no more than reading it does: ${what}`, async () => {
      const body = JSON.stringify(value)
      expect(Buffer.byteLength(body)).toBeLessThanOrEqual(mib)
      const cpuOf = async (text: string, status: number): Promise<number> => {
        const before = process.cpuUsage()
        const answer = await world.call(method, path, {
          ...(path.startsWith('/api/auth') ? {} : { token: person.token }),
          body: text,
        })
        const { user, system } = process.cpuUsage(before)
        expect(answer.status).toBe(status)
        return (user + system) / 1000
      }
      const isLarge = (body.match(/:/g) ?? []).length > 10_000 // too many members: not parsed either
      const costs: number[] = []
      const reading: number[] = []
      for (let round = 0; round < 5; round += 1) {
        costs.push(await cpuOf(body, 422))
        reading.push(await cpuOf(body.slice(0, -1), isLarge ? 422 : 400)) // read to its end, then malformed
      }
      expect(Math.min(...costs) - Math.min(...reading)).toBeLessThan(20)
    })
  }

  test('of a million levels takes under 5 ms beyond sending it', async () => {
    const body = `{"title":${'['.repeat(mib - 100)}`
    const costs: number[] = []
    for (let round = 0; round < 5; round += 1) {
      const before = process.cpuUsage()
      const answer = await world.call('POST', '/api/tasks', { token: person.token, body })
      const { user, system } = process.cpuUsage(before)
      expect(answer.status).toBe(422)
      costs.push((user + system) / 1000)
    }
    expect(Math.min(...costs)).toBeLessThan(20)
  })
})
