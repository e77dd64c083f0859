// Requests leave nothing behind in the process: the same requests again keep no more objects than before.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { heapStats } from 'bun:jsc'
import { startWorld, type Person, type World } from '../support/world.ts'

let world: World
let anna: Person

beforeAll(async () => {
  world = await startWorld()
  anna = await world.register()
})

afterAll(() => world[Symbol.asyncDispose]())

const rounds = 60

/** Every kind of statement on tasks, `rounds` times. */
const work = async (): Promise<void> => {
  for (let round = 0; round < rounds; round += 1) {
    const [first, second] = await Promise.all(
      ['Sow', 'Reap'].map((title) =>
        world.ask(anna, 'POST', '/api/tasks', { projectId: anna.inboxId, title, tags: ['field'] }),
      ),
    )
    await world.ask(anna, 'PATCH', `/api/tasks/${first.id}`, { title: 'Sow again', status: 'done' })
    await world.ask(anna, 'POST', `/api/tasks/${first.id}/comments`, { body: 'Done' })
    await world.ask(anna, 'GET', `/api/tasks/${first.id}`)
    await world.ask(anna, 'GET', '/api/tasks?limit=5&search=sow&sort=-dueAt')
    await world.ask(anna, 'GET', `/api/projects/${anna.inboxId}/snapshot`)
    for (const { id } of [first, second]) await world.ask(anna, 'DELETE', `/api/tasks/${id}`)
  }
}

const errorsHeld = (): number => {
  Bun.gc(true)
  return heapStats().objectTypeCounts['Error'] ?? 0
}

// The driver keeps an Error for every template object that it is given; one made per call is never freed.
test('requests keep no errors of the driver', async () => {
  await work()
  const before = errorsHeld()
  await work()
  expect(errorsHeld() - before).toBeLessThan(rounds)
})
