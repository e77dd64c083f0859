// Counters of a task beside every other write to it: no count and no version is lost, and no condition fails by them.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { changeTaskCounter, lockTaskFor } from '../../src/domain/tasks/task-counters.ts'
import { taskSubject } from '../../src/domain/subject.ts'
import { write } from '../../src/domain/write.ts'
import type { Actor } from '../../src/model/actor.ts'
import { projectScope, userScope } from '../../src/model/scope.ts'
import type { Task } from '../../src/model/task.ts'
import { callsOf, entriesOf, frameOf, type Calls } from '../support/tasks.ts'
import { startWorld, type Person, type World } from '../support/world.ts'

let world: World
let owner: Person
let sharee: Person
let calls: Calls
let projectId: string

beforeAll(async () => {
  world = await startWorld()
  ;({ owner, sharee } = await world.people('owner', 'sharee'))
  calls = callsOf(world, owner)
  projectId = (await calls.project()).id
})

afterAll(() => world[Symbol.asyncDispose]())

const actorOf = ({ id }: Person): Actor => ({
  userId: id,
  role: 'user',
  credential: { kind: 'session', sessionId: crypto.randomUUID() },
})

/** One write that counts, as a domain function would run it. */
const count = (taskId: string, by: number) =>
  write(world.server.deps, { actor: actorOf(owner), claim: null }, async (tx) => {
    const row = await lockTaskFor(tx, actorOf(owner), taskId, 'comment')
    const entries = await changeTaskCounter(tx, row, 'attachmentCount', by, owner.id)
    return {
      value: null,
      entries,
      cursorScope: projectScope(row.task.projectId),
      subject: taskSubject(row.task),
    }
  })

test('a counter bumps the version, not the content, in every scope of the task', async () => {
  const task = await calls.task({ projectId })
  await calls.share(task, sharee, 'view')
  await count(task.id, 1)
  const after = await calls.get(task.id)
  expect(after).toMatchObject({ attachmentCount: 1, commentCount: 0, version: 2 })
  for (const scope of [projectScope(projectId), userScope(sharee.id)]) {
    const entry = (await entriesOf(world, task, scope)).at(-1)
    const { type, version, changed, data } = frameOf(entry)
    expect({ type, version, changed }).toEqual({
      type: 'task.updated',
      version: 2,
      changed: ['attachmentCount'],
    })
    expect(data).toEqual(after)
    expect(entry!.changes).toEqual({ attachmentCount: { from: 0, to: 1 } })
  }
  const conditional = await calls.call<Task>(
    'PATCH',
    `/api/tasks/${task.id}`,
    { title: 'Seen before' },
    { 'If-Match': '"1"' },
  )
  expect([conditional.status, conditional.body.version]).toEqual([200, 3])
  const late = await calls.refused('PATCH', `/api/tasks/${task.id}`, { title: 'No' }, { 'If-Match': '"2"' })
  expect([late.status, late.body.code]).toEqual([412, 'version_conflict'])
})

test('counters beside batched writes, deletions and moves lose neither a count nor a version', async () => {
  const tasks = await Promise.all(Array.from({ length: 4 }, () => calls.task({ projectId })))
  const other = (await calls.project()).id
  await Promise.all(
    tasks.flatMap(({ id }, index) => [
      ...Array.from({ length: 12 }, () => count(id, 1)),
      ...Array.from({ length: 12 }, (_, n) =>
        calls.call('PATCH', `/api/tasks/${id}`, { title: `Title ${n}`, priority: n % 2 ? 'low' : 'high' }),
      ),
      ...(index === 0 ? [calls.call('POST', `/api/tasks/${id}/move`, { projectId: other })] : []),
    ]),
  )
  for (const { id } of tasks) {
    const task = await calls.get(id)
    expect(task.attachmentCount).toBe(12)
    const entries = (
      await Promise.all([projectId, other].map((one) => world.entries(projectScope(one))))
    ).flatMap((all) => all.filter(({ entityId }) => entityId === id))
    const versions = entries.map(({ version }) => version).sort((a, b) => a - b)
    expect(versions).toEqual(Array.from({ length: task.version }, (_, n) => n + 1))
    const counts = entries.flatMap(({ changes }) => changes?.['attachmentCount'] ?? [])
    const steps = counts
      .filter(({ from }) => from !== null)
      .filter(({ from, to }) => Number(to) === Number(from) + 1)
    expect(steps.length).toBe(12)
  }
})

test('a counter of a task that is gone, unreadable or archived is refused', async () => {
  const task = await calls.task({ projectId })
  const theirs = await callsOf(world, sharee).task()
  await calls.call('DELETE', `/api/tasks/${task.id}`)
  const codeOf = (id: string) => count(id, 1).catch(({ code }) => code)
  expect(await codeOf(task.id)).toBe('not_found')
  expect(await codeOf(theirs.id)).toBe('not_found')
  const old = (await calls.project()).id
  const kept = await calls.task({ projectId: old })
  await calls.call('POST', `/api/projects/${old}/archive`)
  expect(await codeOf(kept.id)).toBe('project_archived')
})
