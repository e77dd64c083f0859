// GET /api/tasks: translates the query string to a filter, an order and a page.
import { Type, type Static } from '@sinclair/typebox'
import type { Config } from '../../config.ts'
import type { CallerDatabase } from '../../db/client.ts'
import type { Reads } from '../../db/reads.ts'
import type { Range } from '../../db/tasks/task-list.ts'
import { taskSorts, type TaskOrder } from '../../db/tasks/task-sorts.ts'
import { listTasks, type TaskSearch } from '../../domain/tasks/task-list.ts'
import type { KeptAnswers } from '../kept-answers.ts'
import { openPager, pageOf, pageParameters } from '../page.ts'
import { Flag, listOf, Repeatable, Words } from '../query.ts'
import { RouteGroup } from '../route-group.ts'
import { describedIn } from '../route.ts'
import { Id, Instant, toInstant, Word } from '../../model/scalar.ts'
import { priorities, statuses, Task } from '../../model/task.ts'
import { canonicalTag } from '../../model/text-form.ts'
import { Text } from '../../model/text.ts'

const sorts = taskSorts.flatMap((name) => [name, `-${name}`] as const)

const from = () => Type.Optional(Instant('Inclusive'))
const to = () => Type.Optional(Instant('Exclusive'))

const listQuery = Type.Object(
  {
    projectId: Type.Optional(Id('Default: every task you may read, without archived projects')),
    parentId: Type.Optional(Id()),
    status: Type.Optional(Words(statuses, 'Any of these')),
    priority: Type.Optional(Words(priorities, 'Any of these')),
    assigneeId: Type.Optional(Type.Union([Id(), Word('me', 'none')])),
    creatorId: Type.Optional(Id()),
    tag: Type.Optional(Repeatable({ type: 'string', maxLength: 200 }, 20, 'All of these')),
    completed: Type.Optional(Flag('true: done; false: everything else')),
    overdue: Type.Optional(Flag('Whether the task is open and its due time has passed')),
    shared: Type.Optional(Flag('Whether the task itself is shared with you')),
    search: Type.Optional(
      Text({
        minLength: 1,
        maxLength: 200,
        description: 'Words of title, description and tags, each as a prefix; the first 8 are used',
      }),
    ),
    createdAfter: from(),
    createdBefore: to(),
    updatedAfter: from(),
    updatedBefore: to(),
    dueAfter: from(),
    dueBefore: to(),
    sort: Type.Optional(Word(...sorts)),
    ...pageParameters,
  },
  { additionalProperties: false },
)

type ListQuery = Static<typeof listQuery>

const flag = (value: 'true' | 'false' | undefined): boolean | undefined =>
  value === undefined ? undefined : value === 'true'

const range = (after: string | undefined, before: string | undefined): Range | undefined =>
  after === undefined && before === undefined
    ? undefined
    : { from: after && toInstant(after), to: before && toInstant(before) }

const wordsOf = <const T extends string>(all: readonly T[], value: string | undefined): T[] | undefined =>
  value === undefined ? undefined : all.filter((word) => value.split(',').includes(word))

const assignee = (value: string | undefined, userId: string): string | null | undefined =>
  value === 'none' ? null : value === 'me' ? userId : value

const filterOf = (query: ListQuery, userId: string): TaskSearch => {
  const filter = {
    projectId: query.projectId,
    parentId: query.parentId,
    statuses: wordsOf(statuses, query.status),
    priorities: wordsOf(priorities, query.priority),
    assigneeId: assignee(query.assigneeId, userId),
    creatorId: query.creatorId,
    tags: query.tag === undefined ? undefined : listOf(query.tag).map(canonicalTag),
    completed: flag(query.completed),
    overdue: flag(query.overdue),
    shared: flag(query.shared),
    search: query.search,
    created: range(query.createdAfter, query.createdBefore),
    updated: range(query.updatedAfter, query.updatedBefore),
    due: range(query.dueAfter, query.dueBefore),
  }
  return Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined))
}

const orderOf = (sort = '-createdAt'): TaskOrder => {
  const descending = sort.startsWith('-')
  const by = taskSorts.find((name) => name === (descending ? sort.slice(1) : sort)) ?? 'createdAt'
  return { by, descending }
}

interface TaskListDeps {
  config: Config
  db: CallerDatabase
  reads: Pick<Reads, 'heads' | 'words'>
  kept: KeptAnswers
}

export const taskListRoutes = (deps: TaskListDeps) => {
  const pager = openPager(deps)
  return new RouteGroup('/api/tasks').get(
    '',
    (context) =>
      pager.answer(context, (slice) =>
        listTasks(
          deps,
          context.actor,
          filterOf(context.query, context.actor.userId),
          orderOf(context.query.sort),
          slice,
        ),
      ),
    {
      query: listQuery,
      response: { 200: pageOf(Task) },
      detail: describedIn('Tasks')('List, filter and search tasks'),
    },
  )
}
