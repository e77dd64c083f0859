// The users of a measurement, made through REST: a project each, some tasks, and tokens that are renewed before they
// expire, because a run is longer than the 15 minutes of one.
import { createSemaphore } from '../test/support/semaphore.ts'

export interface Person {
  userId: string
  email: string
  token: string
  refreshToken: string
  /** A project of this user. */
  projectId: string
  taskIds: string[]
}

export interface People {
  readonly users: Person[]
  /** Renews tokens that are older than a third of their life. */
  renew(): Promise<void>
}

export const password = 'a fairly long password'
const batchSize = 100
/** More would be refused: hashing is bounded on purpose. */
const registrationsAtOnce = 4
const renewAfterMs = 5 * 60_000

const retries = 8
const retryMs = 500

/**
 * A request whose answer is JSON. A 503 is tried again under the same Idempotency-Key: preparing a measurement overloads a
 * small machine, which is no finding. @throws with status and body where it is no success.
 */
export const call = async (
  url: string,
  method: string,
  path: string,
  token: string | null,
  body?: unknown,
): Promise<any> => {
  const key = crypto.randomUUID()
  for (let attempt = 1; ; attempt += 1) {
    const response = await fetch(url + path, {
      method,
      headers: {
        ...(body !== undefined && { 'Content-Type': 'application/json' }),
        ...(token !== null && { Authorization: `Bearer ${token}` }),
        ...(method !== 'GET' && token !== null && { 'Idempotency-Key': key }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(30_000),
    })
    const text = await response.text()
    if (response.ok) return text === '' ? null : JSON.parse(text)
    if (response.status !== 503 || attempt > retries)
      throw new Error(`${method} ${path}: ${response.status} ${text}`)
    await Bun.sleep(retryMs)
  }
}

export const makeProject = async (url: string, token: string, name: string): Promise<string> =>
  (await call(url, 'POST', '/api/projects', token, { name })).id

/** Tasks of one project by batches; the ids in order. */
export const makeTasks = async (
  url: string,
  { token }: Pick<Person, 'token'>,
  projectId: string,
  count: number,
): Promise<string[]> => {
  const ids: string[] = []
  while (ids.length < count) {
    const operations = Array.from({ length: Math.min(batchSize, count - ids.length) }, (_, index) => ({
      op: 'create',
      data: { projectId, title: `Task ${ids.length + index} of the bench`, tags: [`t${index % 10}`] },
    }))
    const { items } = await call(url, 'POST', '/api/tasks/batch', token, { operations })
    for (const { id } of items) ids.push(id)
  }
  return ids
}

/** @param options `tasksEach`: of every user's project. `prefix` keeps names of several calls apart. */
export const registerPeople = async (
  url: string,
  count: number,
  { tasksEach = 0, prefix = 'bench' } = {},
): Promise<People> => {
  const inTurn = createSemaphore(registrationsAtOnce)
  const users = await Promise.all(
    Array.from({ length: count }, (_, index) =>
      inTurn(async (): Promise<Person> => {
        const name = `${prefix} ${index}`
        const email = `${prefix}-${index}@example.com`
        const session = await call(url, 'POST', '/api/auth/register', null, { name, email, password })
        const { accessToken: token, refreshToken, user } = session
        const projectId = await makeProject(url, token, name)
        const taskIds = await makeTasks(url, { token }, projectId, tasksEach)
        return { userId: user.id, email, token, refreshToken, projectId, taskIds }
      }),
    ),
  )
  let renewedAt = performance.now()
  return {
    users,
    async renew() {
      if (performance.now() - renewedAt < renewAfterMs) return
      renewedAt = performance.now()
      await Promise.all(
        users.map(async (person) => {
          const { refreshToken } = person
          const session = await call(url, 'POST', '/api/auth/refresh', null, { refreshToken })
          person.token = session.accessToken
          person.refreshToken = session.refreshToken
        }),
      )
    },
  }
}
