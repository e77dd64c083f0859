// The load of a soak: people who read, comment, upload and delete, beside the writers of `Traffic` and the acts of
// `Notices`. Invariant: what it creates it deletes again, so that the data stays as large as it is; each answer other
// than the wanted one is an error.
import { expectStatus, type Api, type Person } from '../oracle/api.ts'
import type { Random } from '../oracle/random.ts'
import type { Cluster } from '../support/cluster.ts'

export interface SoakPerson extends Person {
  refreshToken: string
}

export interface LoadOptions {
  api: Api
  cluster: Cluster
  projects: { id: string; members: SoakPerson[] }[]
  random: Random
  readers: number
  uploaders: number
  /** Pause of a lane between two calls, milliseconds. */
  everyMs: number
}

type Project = LoadOptions['projects'][number]

const reads: ((project: Project, random: Random) => string)[] = [
  ({ id }) => `/api/tasks?projectId=${id}&limit=50`,
  ({ id }) => `/api/tasks?projectId=${id}&sort=dueAt&completed=false`,
  () => '/api/tasks?search=written&limit=20',
  () => '/api/tasks?tag=chaos&sort=-updatedAt',
  ({ id }) => `/api/tasks/stats?projectId=${id}`,
  () => '/api/tasks/stats',
  ({ id }) => `/api/activity?projectId=${id}`,
  ({ id }) => `/api/projects/${id}/snapshot?limit=200`,
  ({ id }) => `/api/projects/${id}/members`,
  () => '/api/projects',
  () => '/api/users/me',
  () => '/api/users/me/snapshot',
  () => '/api/notifications',
]

export class SoakLoad {
  readonly errors: string[] = []
  readonly counts = { reads: 0, comments: 0, uploads: 0, downloads: 0, deletions: 0, refreshes: 0 }
  #isStopped = false
  #keys = 0
  /** Keys of two loads on the same people differ. */
  readonly #name = crypto.randomUUID()
  readonly #running: Promise<void>[]

  constructor(private readonly options: LoadOptions) {
    const { readers, uploaders } = options
    this.#running = [
      ...Array.from({ length: readers }, () => this.#lane(() => this.#read())),
      this.#lane(() => this.#comment()),
      ...Array.from({ length: uploaders }, () => this.#lane(() => this.#upload())),
    ]
  }

  /** Ends the lanes; resolves once calls in flight are answered. */
  async stop(): Promise<void> {
    this.#isStopped = true
    await Promise.all(this.#running)
  }

  /** A new access token for a person, as clients get theirs. */
  async refresh(person: SoakPerson): Promise<void> {
    const body = { refreshToken: person.refreshToken }
    const answer = await this.options.api.call('POST', '/api/auth/refresh', null, body)
    const session = expectStatus(answer, 200, 'refresh')
    person.token = session.accessToken
    person.refreshToken = session.refreshToken
    this.counts.refreshes += 1
  }

  async #lane(act: () => Promise<void>): Promise<void> {
    const { random, everyMs } = this.options
    while (!this.#isStopped) {
      await act().catch((error: unknown) => this.errors.push(String(error).slice(0, 300)))
      await Bun.sleep(random.between(0, 2 * everyMs))
    }
  }

  #pick(): { project: Project; token: string } {
    const project = this.options.random.pick(this.options.projects)
    return { project, token: this.options.random.pick(project.members).token }
  }

  async #write(method: string, path: string, token: string, wanted: number, body?: object): Promise<any> {
    const key = `${this.#name}-${(this.#keys += 1)}`
    return expectStatus(
      await this.options.api.call(method, path, token, body, key),
      wanted,
      `${method} ${path}`,
    )
  }

  async #read(): Promise<void> {
    const { api, random } = this.options
    const { project, token } = this.#pick()
    const path = random.pick(reads)(project, random)
    expectStatus(await api.call('GET', path, token), 200, path)
    this.counts.reads += 1
  }

  /** A task with two comments, then without. */
  async #comment(): Promise<void> {
    const { project, token } = this.#pick()
    const task = await this.#task(project, token)
    for (const body of ['A comment', 'Another one: שלום 👋']) {
      const comment = await this.#write('POST', `/api/tasks/${task}/comments`, token, 201, { body })
      await this.#write('DELETE', `/api/comments/${comment.id}`, token, 204)
      this.counts.comments += 1
    }
    await this.#write('DELETE', `/api/tasks/${task}`, token, 204)
  }

  /** A task with files, which are downloaded, and deleted one by one or with their task. */
  async #upload(): Promise<void> {
    const { random } = this.options
    const { project, token } = this.#pick()
    const task = await this.#task(project, token)
    for (let n = 0; n < 2; n += 1) {
      const text = 'a line of a note\n'.repeat(random.between(1, 2_000))
      const form = new FormData()
      form.append('file', new File([text], 'note.txt', { type: 'text/plain' }))
      const file = JSON.parse(await this.#raw('POST', `/api/tasks/${task}/attachments`, token, form))
      this.counts.uploads += 1
      if ((await this.#raw('GET', `/api/attachments/${file.id}`, token)) !== text)
        throw new Error('a file was downloaded with other content')
      this.counts.downloads += 1
      if (n === 0) await this.#write('DELETE', `/api/attachments/${file.id}`, token, 204)
    }
    await this.#write('DELETE', `/api/tasks/${task}`, token, 204)
    this.counts.deletions += 1
  }

  async #task({ id }: Project, token: string): Promise<string> {
    return (await this.#write('POST', '/api/tasks', token, 201, { projectId: id, title: 'Soak' })).id
  }

  async #raw(method: string, path: string, token: string, body?: FormData): Promise<string> {
    const { url } = this.options.random.pick(this.options.cluster.servers)
    const response = await fetch(url + path, {
      method,
      headers: { Authorization: `Bearer ${token}` },
      ...(body && { body }),
      signal: AbortSignal.timeout(15_000),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}: ${text.slice(0, 200)}`)
    return text
  }
}
