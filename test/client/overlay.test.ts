// Unsettled writes on top of the server's tasks, also writes that the server would refuse.
import { expect, test } from 'bun:test'
import { newId } from '../../packages/client/src/outbox/ids.ts'
import { inOrder, overlay, type Change, type PendingWrite } from '../../packages/client/src/outbox/overlay.ts'
import type { Task } from '../../src/model/task.ts'

const task = (id: string, rank: string, parentId: string | null = null): Task =>
  ({ id, projectId: 'p', rank, parentId, title: id, status: 'todo', tags: [], version: 1 }) as unknown as Task

const base = new Map([task('a', 'B'), task('b', 'C'), task('c', 'CV')].map((one) => [one.id, one]))

const write = (taskId: string, change: Change, order = 1): PendingWrite => ({
  op: `op-${order}`,
  by: null,
  order,
  projectId: 'p',
  taskId,
  change,
  baseVersion: 1,
  before: {},
  at: '2026-11-20T10:00:00.000Z',
})

const shown = (...writes: PendingWrite[]): string[] =>
  inOrder(overlay(base, writes, 'p').values()).map(({ id }) => id)

test('A moved task is between its neighbours, also where one rank is a prefix of the other', () => {
  expect(shown()).toEqual(['a', 'b', 'c'])
  expect(shown(write('a', { kind: 'move', to: { after: 'b' } }))).toEqual(['b', 'a', 'c'])
  expect(shown(write('c', { kind: 'move', to: { before: 'a' } }))).toEqual(['c', 'a', 'b'])
  expect(shown(write('a', { kind: 'move', to: {} }))).toEqual(['b', 'c', 'a'])
  expect(shown(write('a', { kind: 'move', to: { projectId: 'q' } }))).toEqual(['b', 'c'])
})

test('A deletion includes subtasks and terminates where writes have made a cycle', () => {
  const circle = [
    write('a', { kind: 'update', changes: { parentId: 'b' } }, 1),
    write('b', { kind: 'update', changes: { parentId: 'a' } }, 2),
  ]
  expect(shown(...circle, write('a', { kind: 'delete' }, 3))).toEqual(['c'])
})

test('null sets the default, done sets the time, and created tasks are last in order of creation', () => {
  const tasks = overlay(
    base,
    [
      write('a', { kind: 'update', changes: { status: 'done', description: null, tags: null } }, 1),
      write('y', { kind: 'create', task: { id: 'y', title: 'y' } }, 2),
      write('x', { kind: 'create', task: { id: 'x', title: 'x' } }, 3),
    ],
    'p',
  )
  expect(tasks.get('a')).toMatchObject({ description: '', tags: [], completedAt: '2026-11-20T10:00:00.000Z' })
  expect(inOrder(tasks.values()).map(({ id }) => id)).toEqual(['a', 'b', 'c', 'y', 'x'])
  expect(base.get('a')).toMatchObject({ status: 'todo' })
})

test('Text is shown as the server will store it', () => {
  const text = { title: ' Re\u0301union ', description: '  e\u0301\n', tags: [' Straße', 'STRASSE', 'A'] }
  const tasks = overlay(
    base,
    [
      write('a', { kind: 'update', changes: text }, 1),
      write('y', { kind: 'create', task: { id: 'y', ...text } }, 2),
    ],
    'p',
  )
  for (const id of ['a', 'y'])
    expect(tasks.get(id)).toMatchObject({ title: 'Réunion', description: '  é\n', tags: ['straße', 'a'] })
})

test('New ids are ascending UUIDv7, also within a millisecond', () => {
  const ids = Array.from({ length: 10_000 }, () => newId(1_795_000_000_000))
  expect(ids).toEqual([...new Set(ids)].sort())
  for (const id of ids)
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
})
