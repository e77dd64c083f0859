// Requests and log entries that scenarios about tasks share.
import { expect } from 'bun:test'
import { projectScope, type Scope } from '../../src/model/scope.ts'
import type { LogEntry } from '../../src/model/event.ts'
import type { Project } from '../../src/model/project.ts'
import type { Task } from '../../src/model/task.ts'
import { createSemaphore } from './semaphore.ts'
import type { Answer, Members, Person, World } from './world.ts'

/**
 * Creations that prepare a scenario run eight at a time, however many are started at once: in one user's queue the last
 * of 250 would wait longer than a call's deadline on a slow machine, and be answered 503.
 */
export const prepared = createSemaphore(8)

export interface Problem {
  status: number
  code: string
  errors?: { pointer: string; detail: string }[]
  currentVersion?: number
}

/** Requests of one user. */
export const callsOf = (world: World, person: Person) => {
  const call = <T>(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
    world.call<T>(method, path, { token: person.token, body, headers })
  return {
    call,
    /** The answer to a request that must fail. */
    refused: (method: string, path: string, body?: unknown, headers?: Record<string, string>) =>
      call<Problem>(method, path, body, headers),
    task: async (fields: Record<string, unknown> = {}): Promise<Task> => {
      const answer = await prepared(() => call<Task>('POST', '/api/tasks', { title: 'Write it', ...fields }))
      expect(answer.status).toBe(201)
      return answer.body
    },
    get: async (id: string): Promise<Task> => (await call<Task>('GET', `/api/tasks/${id}`)).body,
    project: (members: Members = {}): Promise<Project> => world.project(person, members),
    share: async (task: Task, person: Person, permission: 'view' | 'edit'): Promise<void> => {
      const body = { userId: person.id, permission }
      expect((await call('POST', `/api/tasks/${task.id}/shares`, body)).status).toBe(201)
    },
  }
}

export type Calls = ReturnType<typeof callsOf>

/** The pointers of a 422 or of a refused part of many. */
export const pointersOf = ({ body }: Answer<Problem>): string[] =>
  (body.errors ?? []).map(({ pointer }) => pointer)

/** The log entries of one task in a scope, oldest first. */
export const entriesOf = async (world: World, task: Task, scope?: Scope): Promise<LogEntry[]> =>
  (await world.entries(scope ?? projectScope(task.projectId))).filter((entry) => entry.entityId === task.id)

export const frameOf = (entry: LogEntry | undefined) => JSON.parse(entry?.frame ?? 'null')

/** Runs a write and returns its answer with the entries it appended, in all scopes, as `scope type vN`. */
export const watching = async <T>(
  world: World,
  scopes: Scope[],
  act: () => Promise<T>,
): Promise<{ answer: T; logged: string[] }> => {
  const before = await Promise.all(scopes.map((scope) => world.entries(scope)))
  const answer = await act()
  const after = await Promise.all(scopes.map((scope) => world.entries(scope)))
  const logged = after.flatMap((entries, index) =>
    entries
      .slice(before[index]!.length)
      .map((entry) => `${entry.scope.split(':')[0]} ${entry.type} v${entry.version}`),
  )
  return { answer, logged }
}
