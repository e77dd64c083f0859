// The writes: users register, projects get their members, and every item is written in the order of its project, with a
// deterministic share assigned, edited, completed and deleted. Each project has one lane with one write at a time; other
// members look at what was written, for the check of the recorded history.
import type { Api, Person } from '../oracle/api.ts'
import { expectStatus } from '../oracle/api.ts'
import type { Ledger } from '../oracle/ledger.ts'
import { createRandom, type Random } from '../oracle/random.ts'

export interface Item {
  project: string
  title: string
  tags: string[]
  user: number
}

export interface StoryProject {
  name: string
  id: string
  owner: Person
  members: Person[]
  items: Item[]
}

export const password = 'a story of many tasks'

const emailOf = (number: number): string => `user-${number}@example.com`

/** Registers all users, `atOnce` at a time. */
export const registerPeople = async (
  api: Api,
  numbers: number[],
  atOnce: number,
): Promise<Map<number, Person>> => {
  const people = new Map<number, Person>()
  const waiting = [...numbers]
  const registerNext = async (): Promise<void> => {
    for (let number = waiting.shift(); number !== undefined; number = waiting.shift()) {
      const body = { name: `User ${number}`, email: emailOf(number), password }
      const session = expectStatus(await api.call('POST', '/api/auth/register', null, body), 201, 'register')
      people.set(number, { number, id: session.user.id, token: session.accessToken })
    }
  }
  await Promise.all(Array.from({ length: atOnce }, registerNext))
  return people
}

/** The projects, each owned by the author of its first item, all others in it editors. */
export const createProjects = async (
  api: Api,
  ledger: Ledger,
  people: Map<number, Person>,
  items: Item[],
): Promise<StoryProject[]> =>
  Promise.all(
    [...Map.groupBy(items, (item) => item.project)].map(async ([name, own]) => {
      const members = [...new Set(own.map((item) => item.user))].map((number) => people.get(number)!)
      const owner = members[0]!
      const project = expectStatus(
        await api.call('POST', '/api/projects', owner.token, { name }, `project-${name}`),
        201,
        'project',
      )
      for (const { id, number } of members.slice(1)) {
        const body = { email: emailOf(number), role: 'editor' }
        expectStatus(
          await api.call('POST', `/api/projects/${project.id}/members`, owner.token, body, `member-${id}`),
          201,
          'member',
        )
        ledger.expected.push({ userId: id, kind: 'project_invited', subjectId: project.id })
      }
      return { name, id: project.id as string, owner, members, items: own }
    }),
  )

interface LaneOptions {
  api: Api
  ledger: Ledger
  people: Map<number, Person>
  seed: number
  /** Called after each acknowledged item. */
  onItem(): void
}

/** The writes for one item. Every write has its verb and `key` as Idempotency-Key. */
interface Step extends LaneOptions {
  project: StoryProject
  random: Random
  key: string
}

/** Milliseconds from the write of an item to its due time: above the 15 s in which workers recover, so that none is too late for `due_soon`. */
const dueAfterMs = { min: 20_000, max: 27_000 }

export const writeProject = async (
  project: StoryProject,
  lane: number,
  options: LaneOptions,
): Promise<void> => {
  const random = createRandom(options.seed * 31 + lane)
  const open: string[] = []
  for (const [index, item] of project.items.entries()) {
    const step = { ...options, project, random, key: `${project.name}-${index}` }
    open.push(await create(step, item))
    if (index % 4 === 1) await assign(step, random.pick(open))
    if (index % 5 === 2) await edit(step, random.pick(open))
    if (index % 6 === 3) await complete(step, random.pick(open))
    if (index % 9 === 4) await remove(step, open.splice(random.between(0, open.length - 1), 1)[0]!)
    await look(step, index, open)
    options.onItem()
  }
}

const create = async ({ api, ledger, people, project, random, key }: Step, item: Item): Promise<string> => {
  const isDue = random.next() < 0.1
  const dueAt = isDue
    ? new Date(Date.now() + random.between(dueAfterMs.min, dueAfterMs.max)).toISOString()
    : null
  const body = { projectId: project.id, title: item.title, tags: item.tags, ...(dueAt && { dueAt }) }
  const { token } = people.get(item.user)!
  const task = expectStatus(await api.call('POST', '/api/tasks', token, body, `create-${key}`), 201, 'create')
  if (task.title !== item.title.trim()) throw new Error(`the title of ${task.id} was changed`)
  ledger.created(task)
  return task.id
}

/** Reads by members, of one task, of the newest or of all. */
const look = async ({ api, project, random }: Step, index: number, open: string[]): Promise<void> => {
  const { token } = random.pick(project.members)
  const read = async (path: string): Promise<void> => {
    expectStatus(await api.call('GET', path, token), 200, 'read')
  }
  if (index % 3 === 0 && open.length > 0) await read(`/api/tasks/${random.pick(open.slice(-20))}`)
  if (index % 10 === 5) await read(`/api/tasks?projectId=${project.id}&limit=50`)
  if (index % 200 === 7) await read(`/api/projects/${project.id}/snapshot?limit=5000`)
}

const patch = async (
  { api, key }: Step,
  verb: string,
  id: string,
  actor: Person,
  body: object,
  ifMatch?: number,
): Promise<any> =>
  expectStatus(
    await api.call('PATCH', `/api/tasks/${id}`, actor.token, body, `${verb}-${key}`, ifMatch),
    200,
    verb,
  )

const assign = async (step: Step, id: string): Promise<void> => {
  const { ledger, project, random } = step
  const actor = random.pick(project.members)
  const assignee = random.pick(project.members)
  const before = ledger.tasks.get(id)!.state
  ledger.updated(await patch(step, 'assign', id, actor, { assigneeId: assignee.id }))
  if (before.assigneeId !== assignee.id && assignee.id !== actor.id)
    ledger.expected.push({ userId: assignee.id, kind: 'assigned', subjectId: id })
}

const edit = async (step: Step, id: string): Promise<void> => {
  const { ledger, project, random, key } = step
  const actor = random.pick(project.members)
  const body = { priority: random.pick(['low', 'high', 'urgent']), description: `Edited as ${key}: שלום 👋` }
  ledger.updated(await patch(step, 'edit', id, actor, body, ledger.tasks.get(id)!.state.version))
}

const complete = async (step: Step, id: string): Promise<void> => {
  const { ledger, project, random } = step
  const actor = random.pick(project.members)
  const before = ledger.tasks.get(id)!
  const task = await patch(step, 'complete', id, actor, { status: 'done' })
  if (before.state.status !== 'done') {
    for (const userId of new Set([task.assigneeId, before.creatorId])) {
      if (userId && userId !== actor.id) ledger.expected.push({ userId, kind: 'completed', subjectId: id })
    }
    ledger.closed(id)
  }
  ledger.updated(task)
}

const remove = async ({ api, ledger, project, random, key }: Step, id: string): Promise<void> => {
  const { token } = random.pick(project.members)
  const answer = await api.call('DELETE', `/api/tasks/${id}`, token, undefined, `delete-${key}`)
  expectStatus(answer, 204, 'delete')
  if (ledger.tasks.get(id)!.state.status !== 'done') ledger.closed(id)
  ledger.deleted(id)
}
