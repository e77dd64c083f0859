// Scope and presence key texts: what parses, what does not, and that ids come out in lower case.
import { expect, test } from 'bun:test'
import { newId } from '../../src/model/scalar.ts'
import {
  idOf,
  parsePresenceKey,
  parseScope,
  projectScope,
  taskKey,
  userScope,
} from '../../src/model/scope.ts'

const id = newId()

test('a scope is a project or a user, its id in lower case, and user:me the scope of the caller', () => {
  expect(parseScope(`project:${id.toUpperCase()}`, 'me')).toBe(projectScope(id))
  expect(parseScope(`user:${id}`, 'me')).toBe(userScope(id))
  expect(parseScope('user:me', id)).toBe(userScope(id))
})

test('a presence key is a project or a task, its id in lower case', () => {
  expect(parsePresenceKey(`task:${id.toUpperCase()}`)).toBe(taskKey(id))
  expect(parsePresenceKey(`project:${id}`)).toBe(`project:${id}`)
  expect(idOf(taskKey(id))).toBe(id)
})

test('every other text is neither', () => {
  for (const text of ['', ':', id, `:${id}`, `team:${id}`, `project:${id} `, 'project:me', `Project:${id}`]) {
    expect(parseScope(text, id)).toBeNull()
    expect(parsePresenceKey(text)).toBeNull()
  }
  expect(parseScope(`task:${id}`, id)).toBeNull()
  expect(parsePresenceKey('user:me')).toBeNull()
})
