// The notifications of a story: each kind is counted, and one that is missing or there twice is a difference.
import { expect, test } from 'bun:test'
import { checkNotifications, type NotificationRow } from './compare.ts'
import { Ledger } from './ledger.ts'

const dueAt = Date.parse('2026-03-01T12:00:00Z')
const now = dueAt + 60_000

/** A task that stayed open until it was due, one that was completed before, one without a due time, one that was deleted. */
const ledgerOf = (): Ledger => {
  const ledger = new Ledger()
  const create = (id: string, due: number | null): void =>
    ledger.created({
      id,
      projectId: 'p',
      creatorId: 'ada',
      dueAt: due === null ? null : new Date(due).toISOString(),
    })
  create('open', dueAt)
  create('early', dueAt)
  ledger.tasks.get('early')!.closedAt = dueAt - 10_000
  create('undated', null)
  create('deleted', dueAt)
  ledger.tasks.get('deleted')!.closedAt = dueAt + 1
  ledger.deleted('deleted')
  ledger.expected.push(
    { userId: 'bob', kind: 'project_invited', subjectId: 'p' },
    { userId: 'bob', kind: 'assigned', subjectId: 'open' },
  )
  return ledger
}

const row = (kind: string, userId: string, taskId: string | null): NotificationRow => ({
  id: crypto.randomUUID(),
  userId,
  kind,
  taskId,
  projectId: 'p',
  dedupeKey: '',
})

const right: NotificationRow[] = [
  row('project_invited', 'bob', null),
  row('assigned', 'bob', 'open'),
  row('due_soon', 'bob', 'open'),
  row('overdue', 'bob', 'open'),
]

test('the notifications that are due, each once, are no difference', () => {
  expect(checkNotifications(ledgerOf(), right, now)).toEqual([])
  // Closed before it was due, or deleted: one or none.
  const more = [...right, row('due_soon', 'ada', 'early'), row('due_soon', 'ada', 'deleted')]
  expect(checkNotifications(ledgerOf(), more, now)).toEqual([])
})

for (const { kind } of right) {
  test(`${kind} that is missing or there twice is a difference`, () => {
    const others = right.filter((one) => one.kind !== kind)
    const own = right.filter((one) => one.kind === kind)
    expect(checkNotifications(ledgerOf(), others, now)).toHaveLength(1)
    expect(checkNotifications(ledgerOf(), [...others, ...own, ...own], now)).toHaveLength(1)
  })
}

test('a notification that was not due, and an unknown kind, are differences', () => {
  for (const wrong of [
    row('project_invited', 'eve', null),
    row('due_soon', 'ada', 'undated'),
    row('overdue', 'ada', 'early'),
    row('mentioned', 'bob', 'open'),
  ])
    expect(checkNotifications(ledgerOf(), [...right, wrong], now)).toHaveLength(1)
})
