// Every list of the API pages in the same way: a route that answers items takes the same parameters.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { startWorld, type World } from '../support/world.ts'

let world: World

beforeAll(async () => {
  world = await startWorld()
}, 30_000)
afterAll(() => world[Symbol.asyncDispose]())

interface Operation {
  parameters?: { name: string; in: string }[]
  responses: Record<string, { content?: Record<string, { schema: { properties?: object } }> }>
}

test('every route that answers items takes limit, cursor and page', async () => {
  const { body } = await world.call<{ paths: Record<string, { get?: Operation }> }>(
    'GET',
    '/api/openapi.json',
  )
  const lists = Object.entries(body.paths).flatMap(([path, { get }]) => {
    const answer = get?.responses['200']?.content?.['application/json']?.schema.properties ?? {}
    return get && 'items' in answer ? [{ path, get, answer }] : []
  })
  expect(lists.length).toBeGreaterThan(12)
  const different = lists.filter(({ get, answer }) => {
    const names = new Set(get.parameters?.map(({ name }) => name))
    const isPaged = ['limit', 'cursor', 'page'].every((name) => names.has(name))
    return !isPaged || !['nextCursor', 'page', 'total', 'totalPages'].every((name) => name in answer)
  })
  expect(different.map(({ path }) => path)).toEqual([])
})
