// The callers of the authorization matrix, and what they call routes about: a project with a member of each role, and a
// task of it that is shared with two others. What is changed or deleted is made for the one request.
import type { Comment } from '../../../src/model/comment.ts'
import type { IssuedToken } from '../../../src/model/personal-token.ts'
import { newId } from '../../../src/model/scalar.ts'
import type { SessionAnswer } from '../../../src/model/user.ts'
import { png } from '../../support/images.ts'
import { formOf, upload } from '../../support/uploads.ts'
import { testPassword, type Person, type World } from '../../support/world.ts'

/** The columns, in the order of the letters of a row. */
export const columns = [
  'no token',
  'stranger',
  'viewer',
  'editor',
  'owner',
  'admin',
  'share view',
  'share edit',
  'token read',
  'token write',
] as const
export type Column = (typeof columns)[number]

/** What a row may make for its requests. Everything is the owner's. */
export interface Things {
  readonly owner: Person
  /** In no project; only for rows that add a user. */
  readonly newcomer: Person
  /** Of the shared project and task, which no request changes. */
  readonly projectId: string
  readonly taskId: string
  newProject(): Promise<string>
  /** A task of the shared project, shared as the other is. */
  newTask(): Promise<string>
  newComment(): Promise<string>
  newAttachment(): Promise<string>
  newNotification(): Promise<string>
  /** Gives the person a picture. */
  newAvatar(person: Person): Promise<void>
  newToken(person?: Person): Promise<string>
  /** Another session of the person. */
  newSession(person: Person): Promise<SessionAnswer>
  newPerson(): Promise<Person>
  ask: World['ask']
}

export interface People {
  of(column: Column): Person | null
  /** An account that the request deletes, in place of the caller. */
  alone(column: Column): Promise<Person | null>
  things: Things
}

const tokenOf = async (world: World, person: Person, column: Column): Promise<Person> => {
  const scopes = [column === 'token read' ? 'read' : 'write']
  const { token } = await world.ask<IssuedToken>(person, 'POST', '/api/auth/tokens', { name: 'CI', scopes })
  return { ...person, token }
}

export const gather = async (world: World): Promise<People> => {
  const { owner, stranger, viewer, editor, newcomer, looker, changer } = await world.people(
    'owner',
    'stranger',
    'viewer',
    'editor',
    'newcomer',
    'looker',
    'changer',
  )
  const admin = await world.registerAdmin()
  const newProject = async (): Promise<string> => (await world.project(owner, { viewer, editor })).id
  const projectId = await newProject()
  const newTask = async (): Promise<string> => {
    const { id } = await world.ask(owner, 'POST', '/api/tasks', {
      projectId,
      title: 'Shared',
      tags: ['blue'],
    })
    for (const [person, permission] of [
      [looker, 'view'],
      [changer, 'edit'],
    ] as const)
      await world.ask(owner, 'POST', `/api/tasks/${id}/shares`, { userId: person.id, permission })
    return id
  }
  const taskId = await newTask()
  const callers: Record<Column, Person | null> = {
    'no token': null,
    stranger,
    viewer,
    editor,
    owner,
    admin,
    'share view': looker,
    'share edit': changer,
    'token read': await tokenOf(world, owner, 'token read'),
    'token write': await tokenOf(world, owner, 'token write'),
  }
  const things: Things = {
    owner,
    newcomer,
    projectId,
    taskId,
    newProject,
    newTask,
    newComment: async () =>
      (await world.ask<Comment>(owner, 'POST', `/api/tasks/${taskId}/comments`, { body: 'Hm' })).id,
    newAttachment: async () => (await upload({ url: world.url, token: owner.token, taskId })).body.id,
    newNotification: async () => {
      const id = newId()
      await world.server.deps.db.transact(
        (tx) => tx`
          insert into notifications (id, user_id, kind, dedupe_key) values (${id}, ${owner.id}, 'assigned', ${id})`,
      )
      return id
    },
    async newAvatar({ token }) {
      const headers = { Authorization: `Bearer ${token}` }
      const body = formOf('me.png', png(1, 1))
      await fetch(`${world.url}/api/users/me/avatar`, { method: 'PUT', headers, body })
    },
    newToken: async (person = owner) =>
      (await world.ask<IssuedToken>(person, 'POST', '/api/auth/tokens', { name: 'Other', scopes: ['read'] }))
        .id,
    newSession: async ({ email }) =>
      (
        await world.call<SessionAnswer>('POST', '/api/auth/login', {
          body: { email, password: testPassword },
        })
      ).body,
    newPerson: () => world.register(),
    ask: (person, method, path, body) => world.ask(person, method, path, body),
  }
  return {
    of: (column) => callers[column],
    async alone(column) {
      if (column === 'no token') return null
      const person = column === 'admin' ? await world.registerAdmin() : await world.register()
      return column.startsWith('token') ? tokenOf(world, person, column) : person
    },
    things,
  }
}
