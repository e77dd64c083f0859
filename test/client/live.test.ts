// The client against a real server: its views show every write, each effect once, over a socket and over long polls.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { createClient, type Client, type ClientOptions } from '../../packages/client/src/client.ts'
import type { Fetch } from '../../packages/client/src/http/request.ts'
import { eventually } from '../support/eventually.ts'
import { startWorld, type Person, type World } from '../support/world.ts'

let world: World
const stack = new AsyncDisposableStack()

beforeAll(async () => {
  world = stack.use(await startWorld())
})
afterAll(() => stack.disposeAsync())

const clientOf = async (person: Person, options: Partial<ClientOptions> = {}): Promise<Client> => {
  const client = createClient({ url: world.url, ...options })
  await client.session.adopt(person.session)
  return client
}

const write = async (person: Person, method: string, path: string, body?: unknown): Promise<any> => {
  const answer = await world.call(method, path, { token: person.token, ...(body !== undefined && { body }) })
  expect(answer.status).toBeLessThan(300)
  return answer.body
}

/** A network that keeps answers of one path until they are released; they are as old as that then. */
const held = (path: string): { answered: Promise<void>; release: () => void; fetch: Fetch } => {
  const released = Promise.withResolvers<void>()
  const answered = Promise.withResolvers<void>()
  return {
    answered: answered.promise,
    release: () => released.resolve(),
    fetch: async (url, init) => {
      const response = await fetch(url, init)
      if (url.endsWith(path)) {
        answered.resolve()
        await released.promise
      }
      return response
    },
  }
}

for (const transport of ['socket', 'poll'] as const) {
  describe(`Live over ${transport}`, () => {
    test('a view shows the writes of others in the order of ranks', async () => {
      const ada = await world.register()
      const first = await write(ada, 'POST', '/api/tasks', { title: 'first' })
      using client = await clientOf(ada, { transport })
      using view = client.project(ada.inboxId).live()
      await view.ready
      expect(view.current.project?.id).toBe(ada.inboxId)
      await eventually(() => expect(view.state).toBe('live'))
      const second = await write(ada, 'POST', '/api/tasks', { title: 'second' })
      await write(ada, 'POST', `/api/tasks/${second.id}/move`, { before: first.id })
      await eventually(() =>
        expect(view.current.tasks.map(({ title }) => title)).toEqual(['second', 'first']),
      )
      await write(ada, 'DELETE', `/api/tasks/${first.id}`)
      await eventually(() => expect(view.current.tasks.map(({ title }) => title)).toEqual(['second']))
      expect(view.current.byId.get(second.id)).toEqual(await write(ada, 'GET', `/api/tasks/${second.id}`))
    })

    test('an optimistic write is shown at once and settles on its echo', async () => {
      const ada = await world.register()
      using client = await clientOf(ada, { transport })
      using view = client.project(ada.inboxId).live()
      await view.ready
      const made = view.create({ title: 'mine' })
      expect(view.current.tasks).toMatchObject([{ id: made.taskId, title: 'mine', status: 'todo' }])
      expect([...view.current.pending]).toEqual([made.taskId])
      view.update(made.taskId, { status: 'done' })
      const last = view.update(made.taskId, { title: 'renamed' })
      expect(view.current.tasks).toMatchObject([{ title: 'renamed', status: 'done' }])
      expect(await last.settled).toMatchObject({ version: 3, title: 'renamed', status: 'done' })
      expect(view.current.pending.size).toBe(0)
      expect(view.current.tasks).toEqual([await write(ada, 'GET', `/api/tasks/${made.taskId}`)])
      const [echo] = (await world.entries(`project:${ada.inboxId}`)).filter(({ op }) => op === made.op)
      expect(echo).toMatchObject({ type: 'task.created', entityId: made.taskId })
    })

    test('a refused write disappears and rejects with the reason', async () => {
      const ada = await world.register()
      const refused: string[] = []
      using client = await clientOf(ada, { transport, onRefused: ({ op }) => void refused.push(op) })
      using view = client.project(ada.inboxId).live()
      await view.ready
      const bad = view.create({ title: 'x'.repeat(300) })
      expect(view.current.tasks).toHaveLength(1)
      expect(await bad.settled.catch((error: unknown) => error)).toMatchObject({ code: 'validation_failed' })
      expect(view.current.tasks).toEqual([])
      expect(refused).toEqual([bad.op])
    })

    test('the view of the user receives projects, shares and notifications (C-REV-2)', async () => {
      const [ada, bob] = [await world.register(), await world.register()]
      using client = await clientOf(bob, { transport })
      using own = client.live()
      await own.ready
      expect(own.current.projects).toMatchObject([{ kind: 'inbox' }])
      const project = await write(ada, 'POST', '/api/projects', { name: 'Apollo' })
      await write(ada, 'POST', `/api/projects/${project.id}/members`, { email: bob.email, role: 'viewer' })
      const task = await write(ada, 'POST', '/api/tasks', { title: 'shared' })
      await write(ada, 'POST', `/api/tasks/${task.id}/shares`, { userId: bob.id, permission: 'view' })
      await eventually(() => {
        expect(own.current.projects.at(-1)).toMatchObject({ id: project.id, role: 'viewer' })
        expect(own.current.sharedTasks).toMatchObject([{ id: task.id, title: 'shared' }])
      })
      await write(ada, 'PATCH', `/api/tasks/${task.id}`, { title: 'changed' })
      await eventually(() => expect(own.current.sharedTasks).toMatchObject([{ title: 'changed' }]))
      await write(ada, 'DELETE', `/api/projects/${project.id}/members/${bob.id}`)
      await write(ada, 'DELETE', `/api/tasks/${task.id}/shares/${bob.id}`)
      await eventually(() => {
        expect(own.current.projects).toHaveLength(1)
        expect(own.current.sharedTasks).toEqual([])
      })
    })

    test('a shared task is current although it changed while it was read', async () => {
      const [ada, bob] = [await world.register(), await world.register()]
      const task = await write(ada, 'POST', '/api/tasks', { title: 'shared' })
      const { answered, release, fetch: slow } = held(`/api/tasks/${task.id}`)
      using client = await clientOf(bob, { transport, fetch: slow })
      using own = client.live()
      await eventually(() => expect(own.state).toBe('live'))
      await write(ada, 'POST', `/api/tasks/${task.id}/shares`, { userId: bob.id, permission: 'view' })
      await answered
      const changed = new Promise<void>((resolve) => {
        own.onChange((event) => {
          if (event?.type === 'task.updated') resolve()
        })
      })
      await write(ada, 'PATCH', `/api/tasks/${task.id}`, { title: 'changed' })
      await changed
      release()
      await eventually(() => expect(own.current.sharedTasks).toMatchObject([{ title: 'changed' }]))
    })

    test('a joined project is current although it changed while it was read', async () => {
      const [ada, bob] = [await world.register(), await world.register()]
      const { id } = await write(ada, 'POST', '/api/projects', { name: 'Apollo' })
      const { answered, release, fetch: slow } = held(`/api/projects/${id}`)
      using client = await clientOf(bob, { transport, fetch: slow })
      using own = client.live()
      await eventually(() => expect(own.state).toBe('live'))
      await write(ada, 'POST', `/api/projects/${id}/members`, { email: bob.email, role: 'viewer' })
      await answered
      using view = client.project(id).live()
      await eventually(() => expect(view.state).toBe('live'))
      await write(ada, 'PATCH', `/api/projects/${id}`, { name: 'Gemini' })
      await eventually(() => expect(view.current.project?.name).toBe('Gemini'))
      release()
      await eventually(() => expect(own.current.projects.at(-1)).toMatchObject({ id, name: 'Gemini' }))
    })

    test('the view of a removed member is emptied (C-REV-1)', async () => {
      const [ada, bob] = [await world.register(), await world.register()]
      const project = await write(ada, 'POST', '/api/projects', { name: 'Apollo' })
      await write(ada, 'POST', `/api/projects/${project.id}/members`, { email: bob.email, role: 'editor' })
      await write(ada, 'POST', '/api/tasks', { projectId: project.id, title: 'secret' })
      using client = await clientOf(bob, { transport })
      using view = client.project(project.id).live()
      await eventually(() => expect(view.state).toBe('live'))
      await write(ada, 'DELETE', `/api/projects/${project.id}/members/${bob.id}`)
      await eventually(() => expect(view.state).toBe('stopped'))
      expect(view.current).toMatchObject({ project: null, tasks: [], members: [] })
      expect(view.error!.reason).toBe('revoked')
    })
  })
}

test('A task that moves to another project leaves one view and enters the other at a higher version (C-VER-4)', async () => {
  const ada = await world.register()
  const target = await write(ada, 'POST', '/api/projects', { name: 'Apollo' })
  const task = await write(ada, 'POST', '/api/tasks', { title: 'wanders' })
  using client = await clientOf(ada)
  using from = client.project(ada.inboxId).live()
  using to = client.project(target.id).live()
  await Promise.all([from.ready, to.ready])
  await write(ada, 'POST', `/api/tasks/${task.id}/move`, { projectId: target.id })
  await eventually(() => expect(to.current.tasks.map(({ id }) => id)).toEqual([task.id]))
  await eventually(() => expect(from.current.tasks).toEqual([]))
  expect(to.current.tasks[0]!.version).toBe(task.version + 2)
})

test('The view of the user shows a project in the same state as its open view', async () => {
  const ada = await world.register()
  const project = await write(ada, 'POST', '/api/projects', { name: 'before' })
  using client = await clientOf(ada)
  using own = client.live()
  using view = client.project(project.id).live()
  await Promise.all([own.ready, view.ready])
  await eventually(() => expect(view.state).toBe('live'))
  const names: string[][] = []
  own.onChange(() => names.push(own.current.projects.map(({ name }) => name)))
  await write(ada, 'PATCH', `/api/projects/${project.id}`, { name: 'after' })
  await eventually(() => expect(names.at(-1)).toContain('after'))
})
