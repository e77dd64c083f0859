// A client with a personal access token: it reads, follows a project over its socket, and ends with the token. Made, listed
// and revoked by a client that is signed in.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { createClient, type Client } from '../../packages/client/src/client.ts'
import { ApiError } from '../../packages/client/src/errors.ts'
import { eventually } from '../support/eventually.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { quick } from './scripted.ts'

let world: World
let ada: Person
let signedIn: Client

beforeAll(async () => {
  world = await startWorld()
  ada = await world.register()
  signedIn = createClient({ url: world.url, timing: quick })
  await signedIn.session.adopt(ada.session)
})

afterAll(async () => {
  signedIn[Symbol.dispose]()
  await world[Symbol.asyncDispose]()
})

test('reads, follows and ends with its token', async () => {
  const { token, ...made } = await signedIn.auth.createToken({ name: 'Screen', scopes: ['read'] })
  expect(await signedIn.auth.tokens().all()).toEqual([made])
  using client = createClient({ url: world.url, token, timing: quick })
  using view = client.project(ada.inboxId).live()
  await view.ready
  const task = await signedIn.tasks.create({ title: 'Shown' })
  await eventually(() => expect(view.current.tasks.map(({ id }) => id)).toEqual([task.id]))
  expect(await client.activity.list({ type: ['project.read'] }).all()).toEqual([])
  expect(await client.activity.ofTask(task.id).page()).toMatchObject({ nextCursor: null })
  const refused = await client.tasks.create({ title: 'No' }).catch((error: unknown) => error)
  expect(refused).toBeInstanceOf(ApiError)
  expect(refused).toMatchObject({ status: 403, code: 'insufficient_scope' })
  await signedIn.auth.deleteToken(made.id)
  await eventually(() => expect(view.state).toBe('stopped'))
  expect(view.error).toMatchObject({ reason: 'signed_out' })
})
