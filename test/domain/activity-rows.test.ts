// The row an entry becomes: ids in the order of time, subjects, and what is a consequence of another change.
import { expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { activityIdOf, activityOf, firstIdFrom, mayBeActivity } from '../../src/domain/activity/rows.ts'
import type { LogEntry } from '../../src/model/event.ts'
import { isId, newId } from '../../src/model/scalar.ts'
import { projectScope, userScope } from '../../src/model/scope.ts'

const [projectId, taskId, personId, entityId] = [newId(), newId(), newId(), newId()]

const entry = (fields: Partial<LogEntry>): LogEntry => ({
  shard: 3,
  seq: 7,
  at: '2026-11-20T10:00:00.000Z',
  scope: projectScope(projectId),
  type: 'task.updated',
  entityId: taskId,
  version: 2,
  actorId: personId,
  op: null,
  control: null,
  changes: { title: { from: 'a', to: 'b' } },
  quiet: false,
  override: false,
  frame: null,
  ...fields,
})

const place = fc.record({
  at: fc
    .date({ min: new Date(0), max: new Date('9999-12-31T23:59:59.999Z'), noInvalidDate: true })
    .map((date) => date.toISOString()),
  shard: fc.nat(15),
  seq: fc.maxSafeNat(),
})

test('ids are UUIDv7 and sort by time, then shard, then number; different entries have different ones', () => {
  const order = ({ at, shard, seq }: { at: string; shard: number; seq: number }) =>
    `${Date.parse(at).toString().padStart(16, '0')} ${shard.toString().padStart(2, '0')} ${seq.toString().padStart(16, '0')}`
  fc.assert(
    fc.property(place, place, (one, other) => {
      const [a, b] = [activityIdOf(one), activityIdOf(other)]
      expect(isId(a)).toBe(true)
      expect(a[14]).toBe('7')
      expect(Math.sign(a.localeCompare(b))).toBe(Math.sign(order(one).localeCompare(order(other))))
      expect(firstIdFrom(one.at) <= a).toBe(true)
      expect(firstIdFrom(new Date(Date.parse(one.at) + 1).toISOString()) > a).toBe(true)
    }),
  )
})

test('bounds before 1970 are the least id', () => {
  expect(firstIdFrom('0001-01-01T00:00:00.000Z')).toBe('00000000-0000-0000-0000-000000000000')
})

test.each<[string, Partial<LogEntry>, { taskId: string | null; entityId: string }]>([
  ['a task', {}, { taskId, entityId: taskId }],
  ['a quiet task', { quiet: true }, { taskId, entityId: taskId }],
  [
    'a project',
    { type: 'project.updated', entityId: projectId, changes: { name: { from: 'a', to: 'b' } } },
    { taskId: null, entityId: projectId },
  ],
  ['a member', { type: 'member.added', entityId: personId }, { taskId: null, entityId: personId }],
  [
    'a share',
    { type: 'share.added', changes: { userId: { from: null, to: personId } } },
    { taskId, entityId: personId },
  ],
  [
    'the end of a share',
    { type: 'share.removed', changes: { userId: { from: personId, to: null } } },
    { taskId, entityId: personId },
  ],
  [
    'another permission',
    {
      type: 'share.added',
      changes: { permission: { from: 'view', to: 'edit' } },
      frame: JSON.stringify({ data: { taskId, userId: personId } }),
    },
    { taskId, entityId: personId },
  ],
  [
    'a comment',
    { type: 'comment.created', entityId, frame: JSON.stringify({ data: { taskId } }) },
    { taskId, entityId },
  ],
  [
    'a quiet comment',
    { type: 'comment.deleted', entityId, quiet: true, changes: { taskId: { from: taskId, to: null } } },
    { taskId, entityId },
  ],
])('%s names what it is about', (_what, fields, subject) => {
  expect(activityOf(entry(fields))).toMatchObject(subject)
})

test('the changes of a comment leave out its task', () => {
  const changes = { taskId: { from: null, to: taskId }, body: { from: null, to: 'x' } }
  const row = activityOf(entry({ type: 'comment.created', entityId, changes }))
  expect(row).toMatchObject({ taskId, entityId })
  expect(row!.changes).toEqual({ body: { from: null, to: 'x' } })
})

test.each<[string, Partial<LogEntry>]>([
  ['a counter of a task', { changes: { commentCount: { from: 0, to: 1 } } }],
  [
    'the number of members',
    { type: 'project.updated', entityId: projectId, changes: { memberCount: { from: 1, to: 2 } } },
  ],
  [
    "the version of a project after a member's new role",
    { type: 'project.updated', entityId: projectId, changes: {} },
  ],
  [
    'the profile of a member',
    { type: 'member.updated', entityId: personId, changes: { name: { from: 'a', to: 'b' } } },
  ],
  ['a copy in the scope of a person', { scope: userScope(personId) }],
  ['a control entry', { type: 'control', entityId: null }],
  ['a refetch', { type: 'scope.refetch', entityId: null }],
])('%s is no activity', (_what, fields) => {
  expect(activityOf(entry(fields))).toBeNull()
})

test('what may be activity is decided by type and scope alone', () => {
  expect(mayBeActivity(entry({}))).toBe(true)
  expect(mayBeActivity(entry({ scope: userScope(personId) }))).toBe(false)
  expect(mayBeActivity(entry({ type: 'stats.updated' }))).toBe(false)
  expect(mayBeActivity(entry({ type: 'notification.created' }))).toBe(false)
})
