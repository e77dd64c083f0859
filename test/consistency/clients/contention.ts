// Sessions that share tasks: they read, write conditionally, blindly, in batches and repeatedly, move tasks between two
// projects, and look again at once. One of them loses and regains access. Outcomes such as 404, 409 and 412 are part of
// it; what is wrong in them is found in the recorded history.
import type { Answer, Api, Person } from '../../oracle/api.ts'
import type { Random } from '../../oracle/random.ts'

export interface ContentionOptions {
  api: Api
  /** Owner first, the person whose access comes and goes last. */
  people: Person[]
  /** Two, with all people as members. */
  projects: string[]
  random: Random
  /** Largest pause of a session between two actions, milliseconds. */
  pauseMs: number
  /** Between two changes of access; null for none. */
  accessMs: number | null
}

interface Hot {
  id: string
  version: number
  project: string
}

/** Tasks of both projects; above it they are deleted, so that one page lists a project. */
const maxTasks = 60
/** The newest tasks are the contended ones. */
const hotTasks = 5

export class Contention {
  /** Requests that were never answered. */
  readonly faults: string[] = []
  readonly #tasks: Hot[] = []
  readonly #running: Promise<void>[]
  readonly #key: string
  #keys = 0
  #isStopped = false

  constructor(private readonly options: ContentionOptions) {
    this.#key = options.projects[0]!.slice(-6)
    const { people, accessMs } = options
    this.#running = people.map((person) => this.#session(person))
    if (accessMs !== null) this.#running.push(this.#changeAccess(accessMs))
  }

  /** Resolves once every call is answered, with access for all. */
  async stop(): Promise<void> {
    this.#isStopped = true
    await Promise.all(this.#running)
  }

  async #session(person: Person): Promise<void> {
    const { random, pauseMs } = this.options
    while (!this.#isStopped) {
      try {
        await this.#act(person)
      } catch (error) {
        this.faults.push(String(error))
        return
      }
      await Bun.sleep(random.next() * pauseMs)
    }
  }

  async #act(person: Person): Promise<void> {
    const { random, projects } = this.options
    const project = random.pick(projects)
    if (this.#tasks.length > maxTasks) return this.#delete(person, this.#tasks.shift()!)
    const hot = this.#tasks.length === 0 ? null : random.pick(this.#tasks.slice(-hotTasks))
    const choice = random.next()
    if (!hot || choice < 0.12) return this.#create(person, project)
    if (choice < 0.4) return this.#edit(person, hot)
    if (choice < 0.5) return this.#blind(person, hot)
    if (choice < 0.64) return this.#batch(person, hot)
    if (choice < 0.7) return this.#move(person, hot)
    if (choice < 0.75) return this.#comment(person, hot)
    if (choice < 0.8) return this.#family(person, project)
    if (choice < 0.85) return this.#repeat(person, hot)
    if (choice < 0.93) return this.#list(person, project)
    return this.#snapshot(person, project)
  }

  /** A write under a new key, and often a look at what became of it. */
  async #write(
    person: Person,
    method: string,
    path: string,
    body?: unknown,
    ifMatch?: number,
  ): Promise<Answer> {
    const { api, random, projects } = this.options
    const key = `${this.#key}-${(this.#keys += 1)}`
    const answer = await api.call(method, path, person.token, body, key, ifMatch)
    const { id, projectId } = answer.body ?? {}
    if (answer.status >= 300) return answer
    const choice = random.next()
    if (typeof id === 'string' && choice < 0.4) await this.#get(person, id)
    else if (choice < 0.65) await this.#list(person, projectId ?? random.pick(projects))
    else if (choice < 0.75) await this.#snapshot(person, projectId ?? random.pick(projects))
    return answer
  }

  #note(task: any): void {
    const { id, version, projectId: project } = task
    const held = this.#tasks.find((one) => one.id === id)
    if (!held) this.#tasks.push({ id, version, project })
    else if (held.version < version) Object.assign(held, { version, project })
  }

  #forget(id: string): void {
    const index = this.#tasks.findIndex((one) => one.id === id)
    if (index >= 0) this.#tasks.splice(index, 1)
  }

  async #get(person: Person, id: string): Promise<any> {
    const { status, body } = await this.options.api.call('GET', `/api/tasks/${id}`, person.token)
    return status === 200 ? body : null
  }

  async #list(person: Person, project: string): Promise<void> {
    const sort = this.options.random.pick([
      '',
      '',
      '&sort=dueAt',
      '&sort=-dueAt',
      '&sort=title',
      '&sort=rank',
    ])
    await this.options.api.call('GET', `/api/tasks?projectId=${project}&limit=100${sort}`, person.token)
  }

  async #snapshot(person: Person, project: string): Promise<void> {
    await this.options.api.call('GET', `/api/projects/${project}/snapshot?limit=5000`, person.token)
  }

  #text(): string {
    return `Text ${this.#keys} of ${this.#key}`
  }

  async #create(person: Person, projectId: string): Promise<void> {
    const { status, body } = await this.#write(person, 'POST', '/api/tasks', {
      projectId,
      title: this.#text(),
    })
    if (status === 201) this.#note(body)
  }

  /** Reads, then writes on the version it has read; now and then on an older one. */
  async #edit(person: Person, { id }: Hot): Promise<void> {
    const { random } = this.options
    const task = await this.#get(person, id)
    if (!task) return
    const seen = Math.max(1, random.next() < 0.1 ? task.version - 1 : task.version)
    const body = { description: this.#text() }
    const answer = await this.#write(person, 'PATCH', `/api/tasks/${id}`, body, seen)
    if (answer.status === 200) this.#note(answer.body)
  }

  async #blind(person: Person, { id }: Hot): Promise<void> {
    const { random } = this.options
    const dueAt = random.pick([null, '2030-01-01T00:00:00Z', '2031-01-01T00:00:00Z'])
    const body = { priority: random.pick(['low', 'high', 'urgent']), dueAt }
    const answer = await this.#write(person, 'PATCH', `/api/tasks/${id}`, body)
    if (answer.status === 200) this.#note(answer.body)
  }

  /** A creation, two changes of one task and a change of another: all of it or nothing. */
  async #batch(person: Person, { id, project }: Hot): Promise<void> {
    const { random } = this.options
    const made = Bun.randomUUIDv7()
    const other = random.pick(this.#tasks)
    const operations: object[] = [
      { op: 'create', data: { id: made, projectId: project, title: this.#text() } },
      { op: 'update', id: made, data: { description: this.#text() } },
      { op: 'update', id, data: { title: this.#text() } },
    ]
    if (other.id !== id) operations.push({ op: 'update', id: other.id, data: { status: 'in_progress' } })
    // Every fourth one fails with its last operation.
    if (random.next() < 0.25)
      operations.push({ op: 'update', id: made, data: { title: this.#text() }, ifVersion: 99 })
    const { status, body } = await this.#write(person, 'POST', '/api/tasks/batch', { operations })
    if (status === 200) for (const task of body.items) this.#note(task)
  }

  async #move(person: Person, { id, project }: Hot): Promise<void> {
    const projectId = this.options.projects.find((other) => other !== project)!
    const { status, body } = await this.#write(person, 'POST', `/api/tasks/${id}/move`, { projectId })
    if (status === 200) this.#note(body)
  }

  /** A counter changes: a write on the version before it still succeeds. */
  async #comment(person: Person, { id }: Hot): Promise<void> {
    const task = await this.#get(person, id)
    await this.#write(person, 'POST', `/api/tasks/${id}/comments`, { body: this.#text() })
    if (task) await this.#write(person, 'PATCH', `/api/tasks/${id}`, { title: this.#text() }, task.version)
  }

  /** A task with subtasks, all deleted by one request. */
  async #family(person: Person, projectId: string): Promise<void> {
    const parent = Bun.randomUUIDv7()
    const child = (): object => ({ op: 'create', data: { projectId, parentId: parent, title: this.#text() } })
    const operations = [
      { op: 'create', data: { id: parent, projectId, title: this.#text() } },
      child(),
      child(),
    ]
    const { status } = await this.#write(person, 'POST', '/api/tasks/batch', { operations })
    if (status === 200) await this.#write(person, 'DELETE', `/api/tasks/${parent}`)
  }

  async #delete(person: Person, { id }: Hot): Promise<void> {
    const { status } = await this.#write(person, 'DELETE', `/api/tasks/${id}`)
    if (status === 204) this.#forget(id)
  }

  /** The same request twice, concurrently or one after the other. */
  async #repeat(person: Person, { id }: Hot): Promise<void> {
    const { api, random } = this.options
    const key = `${this.#key}-${(this.#keys += 1)}`
    const body = { title: this.#text() }
    const send = (): Promise<Answer> => api.call('PATCH', `/api/tasks/${id}`, person.token, body, key)
    const first = send()
    if (random.next() < 0.5) await first
    await Promise.all([first, send()])
  }

  async #changeAccess(everyMs: number): Promise<void> {
    const { people, projects, api, random } = this.options
    const [owner] = people
    const guest = people.at(-1)!
    let isMember = true
    const [project] = projects
    // Also a short run has one loss of access.
    for (let changes = 0; !this.#isStopped || !isMember || changes === 0; changes += 1) {
      if (!this.#isStopped) await Bun.sleep(random.next() * everyMs)
      const path = `/api/projects/${project}/members`
      const key = `${this.#key}-${(this.#keys += 1)}`
      try {
        if (isMember) await api.call('DELETE', `${path}/${guest.id}`, owner!.token, undefined, key)
        else await api.call('POST', path, owner!.token, { userId: guest.id, role: 'editor' }, key)
      } catch (error) {
        this.faults.push(String(error))
        return
      }
      isMember = !isMember
    }
  }
}
