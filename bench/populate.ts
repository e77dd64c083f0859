// Users, projects and tasks for a measurement, created through REST.

export interface Population {
  users: { token: string; projectId: string; userId: string }[]
  /** One of the first user's tasks. */
  taskId: string
}

const userCount = 50
const batchSize = 100
/** More would be refused: password hashing is bounded. */
const registrationsAtOnce = 4

const call = async (
  url: string,
  method: string,
  path: string,
  token: string | null,
  body: unknown,
): Promise<any> => {
  const response = await fetch(url + path, {
    method,
    headers: { 'Content-Type': 'application/json', ...(token && { Authorization: `Bearer ${token}` }) },
    body: JSON.stringify(body),
  })
  const answer = await response.json()
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${JSON.stringify(answer)}`)
  return answer
}

/** 50 users with a project each; the first one's holds `tasks` tasks. */
export const populate = async (url: string, tasks: number): Promise<Population> => {
  const users: Population['users'] = []
  const waiting = Array.from({ length: userCount }, (_, index) => index)
  const makeNext = async (): Promise<void> => {
    for (let index = waiting.shift(); index !== undefined; index = waiting.shift()) {
      const body = {
        name: `Bench ${index}`,
        email: `bench-${index}@example.com`,
        password: 'a fairly long password',
      }
      const session = await call(url, 'POST', '/api/auth/register', null, body)
      const project = await call(url, 'POST', '/api/projects', session.accessToken, {
        name: `Bench ${index}`,
      })
      users.push({ token: session.accessToken, projectId: project.id, userId: session.user.id })
    }
  }
  await Promise.all(Array.from({ length: registrationsAtOnce }, makeNext))
  const { token, projectId } = users[0]!
  let taskId = ''
  for (let made = 0; made < tasks; made += batchSize) {
    const operations = Array.from({ length: batchSize }, (_, index) => ({
      op: 'create',
      data: { projectId, title: `Task ${made + index}`, tags: [`t${index % 10}`] },
    }))
    const { items } = await call(url, 'POST', '/api/tasks/batch', token, { operations })
    taskId = items[0].id
  }
  return { users, taskId }
}
