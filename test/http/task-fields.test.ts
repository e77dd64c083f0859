// Every writable field of a task, taken from its description in the model, through every way it is written and shown:
// what is missing for one field in the table, the INSERT, the UPDATE, the content version, `changes`, a read, search or
// the client's overlay fails here by the field's name. A new field needs a sample here, or this file does not compile.
import { projectScope } from '../../src/model/scope.ts'
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { overlay, type Change, type PendingWrite } from '../../packages/client/src/outbox/overlay.ts'
import type { Project } from '../../src/model/project.ts'
import { columnOf, sqlTypes } from '../../src/db/tasks/task-columns.ts'
import {
  fieldNames,
  rightFor,
  searchedFields,
  taskDefaults,
  taskFields,
  writableFields,
  type FieldDescription,
  type TaskFields,
} from '../../src/model/task-fields.ts'
import { TaskPatch, TaskReplacement, type Task } from '../../src/model/task.ts'
import { callsOf, entriesOf, frameOf, type Calls } from '../support/tasks.ts'
import { startWorld, type Person, type World } from '../support/world.ts'

type Field = keyof TaskFields

/** Two values of a field, neither its default. */
type Samples = { [F in Field]: readonly [TaskFields[F], TaskFields[F]] }

let world: World
let owner: Person
let calls: Calls
let project: Project
let samples: Samples

beforeAll(async () => {
  world = await startWorld()
  owner = await world.register()
  const member = await world.register()
  calls = callsOf(world, owner)
  project = await calls.project({ editor: member })
  const parents = [await calls.task({ projectId: project.id }), await calls.task({ projectId: project.id })]
  samples = {
    title: ['First title', 'Second title'],
    description: ['First description', 'Second description'],
    status: ['done', 'cancelled'],
    priority: ['low', 'urgent'],
    assigneeId: [owner.id, member.id],
    parentId: [parents[0]!.id, parents[1]!.id],
    dueAt: ['2030-01-01T00:00:00.000Z', '2031-01-01T00:00:00.000Z'],
    tags: [['one'], ['two', 'three']],
  }
})

afterAll(() => world[Symbol.asyncDispose](), 20_000)

const defaults: Partial<TaskFields> = taskDefaults
const defaultOf = (field: Field): unknown => defaults[field]

/** Everything a client can write of a task. */
const fieldsOf = (task: Task): Partial<TaskFields> =>
  Object.fromEntries(writableFields.map((field) => [field, task[field]]))

const make = (fields: object = {}): Promise<Task> => calls.task({ projectId: project.id, ...fields })

/** Holds the answer of a write, a read, a list and a snapshot against one another and the value. */
const expectEverywhere = async (answered: Task, field: Field, value: unknown): Promise<void> => {
  const { id } = answered
  const { token } = owner
  const listed = await world.call('GET', `/api/tasks?projectId=${project.id}&limit=100`, { token })
  const snapshot = await world.call('GET', `/api/projects/${project.id}/snapshot`, { token })
  const shown: Record<string, Task | undefined> = {
    answer: answered,
    read: await calls.get(id),
    list: listed.body.items.find((task: Task) => task.id === id),
    snapshot: snapshot.body.tasks.find((task: Task) => task.id === id),
  }
  for (const [where, task] of Object.entries(shown)) {
    expect({ where, field, value: task?.[field] }).toEqual({ where, field, value: value as never })
    expect({ where, task }).toEqual({ where, task: answered })
  }
}

/** The last entry of the task has this field as its only writable change. */
const expectTold = async (task: Task, field: Field, from: unknown, to: unknown): Promise<void> => {
  const entry = (await entriesOf(world, task, projectScope(project.id))).at(-1)
  const frame = frameOf(entry)
  const written = frame.changed.filter((name: string) => (writableFields as readonly string[]).includes(name))
  expect({ field, changed: written }).toEqual({ field, changed: [field] })
  expect({ field, change: entry?.changes?.[field] }).toEqual({ field, change: { from, to } })
  expect({ field, value: frame.data[field] }).toEqual({ field, value: to })
  expect(frame.version).toBe(task.version)
}

test('the list of writable fields is that of every shape that writes them', () => {
  const sorted = [...writableFields].toSorted()
  expect(Object.keys(TaskPatch.properties).toSorted()).toEqual(sorted)
  expect(Object.keys(TaskReplacement.properties).toSorted()).toEqual(sorted)
  expect(Object.keys({ title: '', ...taskDefaults }).toSorted()).toEqual(sorted)
})

/** Columns that no reader of a task is shown. */
const internalColumns = [
  'content_version',
  'document',
  'due_rev',
  'due_soon_rev',
  'overdue_rev',
  'title_key',
  'words',
  'words_version',
]

test('the table has exactly the described columns, with their types, nullability and defaults', async () => {
  const columns = await world.server.deps.db.read(
    (sql) => sql<{ name: string; type: string; isNullable: boolean; fallback: string | null }[]>`
      select attname as name, format_type(atttypid, atttypmod) as type, not attnotnull as "isNullable",
        pg_get_expr(adbin, adrelid) as fallback
      from pg_attribute
      left join pg_attrdef on adrelid = attrelid and adnum = attnum
      where attrelid = 'tasks'::regclass and attnum > 0 and not attisdropped
      order by attname`,
  )
  const longNames: Record<string, string> = { 'timestamptz(3)': 'timestamp(3) with time zone' }
  /** A literal as PostgreSQL prints it. */
  const literal = (value: FieldDescription['default']): string => {
    if (typeof value === 'number') return `${value}`
    return typeof value === 'string' ? `'${value}'::text` : "'{}'::text[]"
  }
  const described = fieldNames.map((name) => {
    const { kind, default: value }: FieldDescription = taskFields[name]
    const type = sqlTypes[kind]
    return {
      name: columnOf(name),
      type: longNames[type] ?? type,
      isNullable: value === null,
      ...(value !== undefined && { fallback: value === null ? null : literal(value) }),
    }
  })
  expect(columns.map(({ name }) => name).filter((name) => !internalColumns.includes(name))).toEqual(
    described.map(({ name }) => name).toSorted(),
  )
  for (const field of described) expect(columns.find(({ name }) => name === field.name)).toMatchObject(field)
})

test('words of every searched field are found', async () => {
  for (const field of searchedFields) {
    const word = `w${crypto.randomUUID().replaceAll('-', '')}`
    const value = taskFields[field].kind === 'tags' ? [word] : word
    const task = await make({ title: 'Searched', [field]: value })
    const path = `/api/tasks?projectId=${project.id}&search=${word}`
    const { body } = await world.call('GET', path, { token: owner.token })
    expect({ field, found: body.items.map(({ id }: Task) => id) }).toEqual({ field, found: [task.id] })
  }
})

test('a field that takes a right of its own is refused to whom it is shared with', async () => {
  const guest = await world.register()
  const guarded = writableFields.filter((field) => rightFor(field) !== undefined)
  expect(guarded).toContain('parentId')
  for (const field of guarded) {
    const task = await make()
    await calls.call('POST', `/api/tasks/${task.id}/shares`, { userId: guest.id, permission: 'edit' })
    const path = `/api/tasks/${task.id}`
    const { refused, call } = callsOf(world, guest)
    expect((await call('PATCH', path, { title: 'Helped' })).status).toBe(200)
    const answer = await refused('PATCH', path, { [field]: samples[field][0] })
    expect({ field, status: answer.status }).toEqual({ field, status: 403 })
  }
})

for (const field of writableFields)
  describe(`the field ${field}`, () => {
    test('is created, read and logged', async () => {
      const [first] = samples[field]
      const task = await make({ [field]: first })
      await expectEverywhere(task, field, first)
      const [entry] = await entriesOf(world, task)
      expect(entry?.changes?.[field]).toEqual({ from: null, to: first })
      expect(frameOf(entry).data).toEqual(task)
    })

    test('is patched alone, logged as changed, and refuses an older If-Match', async () => {
      const [first, second] = samples[field]
      const task = await make({ [field]: first })
      const path = `/api/tasks/${task.id}`
      const patched = await calls.call<Task>('PATCH', path, { [field]: second }, { 'If-Match': '"1"' })
      expect(patched.status).toBe(200)
      expect(patched.body.version).toBe(2)
      expect(fieldsOf(patched.body)).toEqual({ ...fieldsOf(task), [field]: second })
      await expectEverywhere(patched.body, field, second)
      await expectTold(patched.body, field, first, second)

      const stale = await calls.refused('PATCH', path, { [field]: first }, { 'If-Match': '"1"' })
      expect({ status: stale.status, code: stale.body.code }).toEqual({
        status: 412,
        code: 'version_conflict',
      })
      const same = await calls.call<Task>('PATCH', path, { [field]: second }, { 'If-Match': '"2"' })
      expect({ status: same.status, version: same.body.version }).toEqual({ status: 200, version: 2 })

      const cleared = await calls.call<Task>('PATCH', path, { [field]: null })
      if (defaultOf(field) === undefined) expect(cleared.status).toBe(422)
      else await expectEverywhere(cleared.body, field, defaultOf(field))
    })

    test('is left alone by a patch of another field', async () => {
      const [first] = samples[field]
      const task = await make({ [field]: first })
      const other = field === 'title' ? 'description' : 'title'
      const patched = await calls.call<Task>('PATCH', `/api/tasks/${task.id}`, { [other]: 'other' })
      await expectEverywhere(patched.body, field, first)
    })

    test('is replaced, and takes its default where PUT leaves it out', async () => {
      const [first, second] = samples[field]
      const task = await make({ [field]: first })
      const path = `/api/tasks/${task.id}`
      const replaced = await calls.call<Task>('PUT', path, { title: task.title, [field]: second })
      await expectEverywhere(replaced.body, field, second)
      await expectTold(replaced.body, field, first, second)
      if (defaultOf(field) === undefined) return
      const emptied = await calls.call<Task>('PUT', path, { title: task.title })
      await expectEverywhere(emptied.body, field, defaultOf(field))
      await expectTold(emptied.body, field, second, defaultOf(field))
    })

    test('is changed in bulk and in a batch', async () => {
      const [first, second] = samples[field]
      const task = await make({ [field]: first })
      const bulk = await calls.call<{ items: Task[] }>('PATCH', '/api/tasks/bulk', {
        ids: [task.id],
        changes: { [field]: second },
      })
      await expectEverywhere(bulk.body.items[0]!, field, second)
      await expectTold(bulk.body.items[0]!, field, first, second)
      const operations = [
        { op: 'update', id: task.id, data: { [field]: first }, ifVersion: 2 },
        { op: 'create', data: { title: 'Made', projectId: project.id, [field]: second } },
      ]
      const batch = await calls.call<{ items: Task[] }>('POST', '/api/tasks/batch', { operations })
      await expectEverywhere(batch.body.items[0]!, field, first)
      await expectTold(batch.body.items[0]!, field, second, first)
      await expectEverywhere(batch.body.items[1]!, field, second)
      const stale = await calls.refused('POST', '/api/tasks/batch', {
        operations: [{ op: 'update', id: task.id, data: { [field]: second }, ifVersion: 2 }],
      })
      expect(stale.status).toBe(412)
    })

    test('stays with its task through a move to another project, but for parent and assignee', async () => {
      const [first] = samples[field]
      const task = await make({ [field]: first })
      const { body } = await calls.call<Task>('POST', `/api/tasks/${task.id}/move`, {
        projectId: owner.inboxId,
      })
      expect(body[field]).toEqual(field === 'parentId' ? null : first)
    })

    test('is shown by the client before the server has answered', async () => {
      const [first, second] = samples[field]
      const task = await make({ [field]: first })
      const shownAfter = (change: Change): Task | undefined => {
        const write: PendingWrite = {
          op: 'op',
          by: null,
          order: 1,
          projectId: project.id,
          taskId: task.id,
          change,
          baseVersion: null,
          before: {},
          at: task.createdAt,
        }
        const base = change.kind === 'create' ? new Map<string, Task>() : new Map([[task.id, task]])
        return overlay(base, [write], project.id).get(task.id)
      }
      const created = shownAfter({ kind: 'create', task: { id: task.id, title: 'x', [field]: first } })
      expect(created?.[field]).toEqual(first as never)
      expect(shownAfter({ kind: 'update', changes: { [field]: second } })?.[field]).toEqual(second as never)
      if (defaultOf(field) === undefined) return
      const plain = shownAfter({ kind: 'create', task: { id: task.id, title: 'x' } })
      expect(plain?.[field]).toEqual(defaultOf(field) as never)
      const cleared = shownAfter({ kind: 'update', changes: { [field]: null } })
      expect(cleared?.[field]).toEqual(defaultOf(field) as never)
    })
  })
