// The one write path: who it runs for, and how often a response is rendered.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { systemCaller, type CallerDatabase } from '../../src/db/client.ts'
import { createTask } from '../../src/domain/tasks/tasks.ts'
import { systemWrite, write, type IdempotencyClaim, type WriteDeps } from '../../src/domain/write.ts'
import { systemActorFor, type Actor } from '../../src/model/actor.ts'
import { newId } from '../../src/model/scalar.ts'
import type { Task } from '../../src/model/task.ts'
import { startWorld, type World } from '../support/world.ts'

let world: World
let actor: Actor

beforeAll(async () => {
  world = await startWorld()
  const { id: userId } = await world.register()
  actor = { userId, role: 'user', credential: { kind: 'system' } }
})

afterAll(() => world[Symbol.asyncDispose]())

/** A claim that lists what it renders. */
const claimOf = (rendered: Task[]): IdempotencyClaim<Task> => ({
  key: newId(),
  method: 'POST',
  path: '/api/tasks',
  fingerprint: new Uint8Array(32),
  texts: () => [],
  toResponse(task) {
    rendered.push(task)
    return { status: 201, headers: { Rendered: String(rendered.length) }, body: JSON.stringify(task) }
  },
})

test('with a key the response is rendered once: the rendered text is returned, stored and replayed', async () => {
  const rendered: Task[] = []
  const claim = claimOf(rendered)
  const create = () => createTask(world.server.deps, { actor, claim }, { title: 'Launch' })
  const first = await create()
  if (first.kind !== 'written') throw new Error('the first request must write')
  expect(first.response).toEqual({
    status: 201,
    headers: { Rendered: '1' },
    body: JSON.stringify(first.value),
  })
  const again = await create()
  expect(again).toEqual({
    kind: 'replayed',
    response: {
      ...first.response!,
      headers: { Rendered: '1', 'Tide-Cursor': first.cursor!, 'Idempotency-Replayed': 'true' },
    },
  })
  expect(rendered).toEqual([first.value])
})

test('without a key nothing is rendered', async () => {
  const result = await createTask(world.server.deps, { actor, claim: null }, { title: 'Launch' })
  expect(result).toMatchObject({ kind: 'written', response: null, cursor: expect.any(String) })
})

test('calls run under the limits of the user or the unauthenticated caller, those of the system under none', async () => {
  const { db, publisher } = world.server.deps
  const callers: unknown[] = []
  const recording: CallerDatabase = {
    of(caller) {
      callers.push(caller)
      return db.of(caller)
    },
  }
  const deps: WriteDeps = { db: recording, publisher }
  const nothing = async () => ({ value: 'nothing', entries: [] })
  const { value } = await write(deps, { actor, claim: null }, nothing)
  await write(deps, { actor: systemActorFor('address:::1'), claim: null }, nothing)
  await write(deps, systemWrite, nothing)
  expect([value, ...callers]).toEqual(['nothing', actor.userId, 'address:::1', systemCaller])
})
