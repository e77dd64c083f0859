// The permission matrix of projects, members and shares: each cell is one request by one user in a project of its own.
// A refused request appends no entry, and its 404 equals the 404 of a random id.
import { projectScope } from '../../src/model/scope.ts'
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { Project } from '../../src/model/project.ts'
import { newId } from '../../src/model/scalar.ts'
import type { Task } from '../../src/model/task.ts'
import { startWorld, type Person, type World } from '../support/world.ts'

const roles = [
  'anonymous',
  'stranger',
  'viewSharee',
  'editSharee',
  'viewer',
  'editor',
  'owner',
  'admin',
] as const
type Role = (typeof roles)[number]

/** A project with the people of the table in it, and a task with the sharees. */
interface Scene {
  projectId: string
  taskId: string
}

interface Row {
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  path: (scene: Scene, caller: Person) => string
  body?: (caller: Person) => unknown
  /** Statuses in the order of `roles`. */
  statuses: number[]
}

let world: World
const people = new Map<Role | 'founder' | 'member' | 'sharee' | 'newcomer', Person>()
const person = (name: Role | 'founder' | 'member' | 'sharee' | 'newcomer'): Person => people.get(name)!

beforeAll(async () => {
  world = await startWorld()
  for (const name of [...roles, 'founder', 'member', 'sharee', 'newcomer'] as const)
    people.set(name, name === 'admin' ? await world.registerAdmin() : await world.register(name))
})

afterAll(() => world[Symbol.asyncDispose]())

const project = ({ projectId }: Scene) => `/api/projects/${projectId}`
const members = (scene: Scene) => `${project(scene)}/members`
const shares = ({ taskId }: Scene) => `/api/tasks/${taskId}/shares`

const table: Record<string, Row> = {
  'read a project': {
    method: 'GET',
    path: project,
    statuses: [401, 404, 404, 404, 200, 200, 200, 200],
  },
  'change a project': {
    method: 'PATCH',
    path: project,
    body: () => ({ name: 'Changed' }),
    statuses: [401, 404, 404, 404, 403, 403, 200, 200],
  },
  'delete a project': {
    method: 'DELETE',
    path: project,
    statuses: [401, 404, 404, 404, 403, 403, 204, 204],
  },
  'archive a project': {
    method: 'POST',
    path: (scene) => `${project(scene)}/archive`,
    statuses: [401, 404, 404, 404, 403, 403, 200, 200],
  },
  'unarchive a project': {
    method: 'POST',
    path: (scene) => `${project(scene)}/unarchive`,
    statuses: [401, 404, 404, 404, 403, 403, 200, 200],
  },
  'list members': {
    method: 'GET',
    path: members,
    statuses: [401, 404, 404, 404, 200, 200, 200, 200],
  },
  'add a member': {
    method: 'POST',
    path: members,
    body: () => ({ email: person('newcomer').email, role: 'viewer' }),
    statuses: [401, 404, 404, 404, 403, 403, 201, 201],
  },
  "change a member's role": {
    method: 'PATCH',
    path: (scene) => `${members(scene)}/${person('member').id}`,
    body: () => ({ role: 'editor' }),
    statuses: [401, 404, 404, 404, 403, 403, 200, 200],
  },
  'change the own role': {
    method: 'PATCH',
    path: (scene, caller) => `${members(scene)}/${caller.id}`,
    body: () => ({ role: 'owner' }),
    statuses: [401, 404, 404, 404, 403, 403, 200, 404],
  },
  'remove a member': {
    method: 'DELETE',
    path: (scene) => `${members(scene)}/${person('member').id}`,
    statuses: [401, 404, 404, 404, 403, 403, 204, 204],
  },
  leave: {
    method: 'DELETE',
    path: (scene, caller) => `${members(scene)}/${caller.id}`,
    statuses: [401, 404, 404, 404, 204, 204, 204, 404],
  },
  'list shares': {
    method: 'GET',
    path: shares,
    statuses: [401, 404, 200, 200, 200, 200, 200, 200],
  },
  'share a task': {
    method: 'POST',
    path: shares,
    body: () => ({ userId: person('newcomer').id, permission: 'view' }),
    statuses: [401, 404, 403, 403, 403, 201, 201, 201],
  },
  'change a share': {
    method: 'PATCH',
    path: (scene) => `${shares(scene)}/${person('sharee').id}`,
    body: () => ({ permission: 'edit' }),
    statuses: [401, 404, 403, 403, 403, 200, 200, 200],
  },
  'raise the own share': {
    method: 'PATCH',
    path: (scene, caller) => `${shares(scene)}/${caller.id}`,
    body: () => ({ permission: 'edit' }),
    statuses: [401, 404, 403, 403, 403, 404, 404, 404],
  },
  'end a share': {
    method: 'DELETE',
    path: (scene) => `${shares(scene)}/${person('sharee').id}`,
    statuses: [401, 404, 403, 403, 403, 204, 204, 204],
  },
}

const makeScene = async (): Promise<Scene> => {
  const { token } = person('founder')
  const post = async <T>(path: string, body: unknown): Promise<T> => {
    const answer = await world.call<T>('POST', path, { token, body })
    expect(answer.status).toBe(201)
    return answer.body
  }
  const { id: projectId } = await post<Project>('/api/projects', { name: 'Scene' })
  const { id: taskId } = await post<Task>('/api/tasks', { projectId, title: 'Shared' })
  for (const [name, role] of [
    ['viewer', 'viewer'],
    ['editor', 'editor'],
    ['owner', 'owner'],
    ['member', 'viewer'],
  ] as const)
    await post(`/api/projects/${projectId}/members`, { email: person(name).email, role })
  for (const [name, permission] of [
    ['viewSharee', 'view'],
    ['editSharee', 'edit'],
    ['sharee', 'view'],
  ] as const)
    await post(`/api/tasks/${taskId}/shares`, { userId: person(name).id, permission })
  return { projectId, taskId }
}

const ask = ({ method, path, body }: Row, scene: Scene, role: Role) => {
  const caller = person(role)
  return world.call(method, path(scene, caller), {
    ...(role !== 'anonymous' && { token: caller.token }),
    ...(body && { body: body(caller) }),
  })
}

describe.each(Object.entries(table))('%s', (_what, row) => {
  test.each(roles.map((role, index) => [role, row.statuses[index]!] as const))(
    'by %s answers %d',
    async (role, status) => {
      const scene = await makeScene()
      const before = await world.entryCount()
      const answer = await ask(row, scene, role)
      expect(answer.status).toBe(status)
      if (status < 300) return
      expect(await world.entryCount()).toBe(before)
      if (status !== 404 || role === 'admin' || role === 'owner' || role === 'editor') return
      const random = await ask(row, { projectId: newId(), taskId: newId() }, role)
      const { instance: _1, requestId: _2, ...problem } = answer.body
      expect(random.body).toMatchObject(problem)
      expect(Object.keys(random.body)).toEqual(Object.keys(answer.body))
    },
  )
})

test("an admin's list has its own projects, and reading another by id shows it as owner", async () => {
  const { projectId } = await makeScene()
  const { token } = person('admin')
  const { body } = await world.call('GET', '/api/projects', { token })
  expect(body.items.map((item: Project) => item.id)).toEqual([person('admin').inboxId])
  const read = await world.call<Project>('GET', `/api/projects/${projectId}`, { token })
  expect(read.body.role).toBe('owner')
  expect(read.headers.get('etag')).toBe(`"${read.body.version}.owner"`)
  expect(
    (await world.entries(projectScope(projectId))).every((entry) => entry.actorId !== person('admin').id),
  ).toBe(true)
})
