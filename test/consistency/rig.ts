// Recorded runs on a small cluster of its own: two servers, contending sessions, live views, lost and doubled requests.
// For the product without faults and for its variants: the servers are started again as each variant, on one PostgreSQL.
import { openDatabase, type Database } from '../../src/db/client.ts'
import { openRedis, type Redis } from '../../src/redis/connection.ts'
import { createLog } from '../../src/log.ts'
import { variantEnvironment } from '../chaos/variants.ts'
import { createApi, expectStatus, type Api, type Person } from '../oracle/api.ts'
import { createRandom } from '../oracle/random.ts'
import { startCluster, type Cluster } from '../support/cluster.ts'
import { checkHistory } from './check.ts'
import { Clients } from './clients/clients.ts'
import { readFinal } from './final.ts'
import { Recorder } from './recorder.ts'
import type { Report } from './report.ts'

const peopleCount = 5
const password = 'a history of many clients'
const pollMs = 50
/** Polls between two FLUSHALL. */
const emptyRedisEvery = 4
const emailOf = (number: number): string => `person-${number}@example.com`

export interface RigRun {
  seed: number
  /** Calls after which it ends, on a slow machine after `maxSeconds`. */
  calls: number
  maxSeconds: number
  /** Null for the product itself. */
  variant: string | null
  /** A fault without which the variant behaves as the product. */
  needs?: 'redis-emptied' | undefined
  /** For the views to catch up; what they miss afterwards is missing. */
  settleMs: number
}

export class Rig implements AsyncDisposable {
  #variant: string | null = null

  private constructor(
    private readonly cluster: Cluster,
    private readonly db: Database,
    private readonly redis: Redis,
    private readonly people: Person[],
    private readonly stack: AsyncDisposableStack,
  ) {}

  static async open(): Promise<Rig> {
    await using stack = new AsyncDisposableStack()
    const cluster = stack.use(await startCluster({ servers: 2, workers: 0, report: () => {} }))
    const log = createLog('consistency', 'silent')
    const { databaseUrl: url, redisUrl } = cluster
    const db = stack.use(
      openDatabase({ url, max: 2, applicationName: 'consistency', log, deadlineMs: 30_000 }),
    )
    const redis = stack.use(openRedis(redisUrl, 'request', log)).client
    const people = await registerPeople(createApi(cluster))
    return new Rig(cluster, db, redis, people, stack.move())
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stack.disposeAsync()
  }

  async run(options: RigRun): Promise<Report> {
    const { seed, calls, maxSeconds, variant, needs, settleMs } = options
    const { cluster, db, people } = this
    await this.#become(variant)
    const recorder = new Recorder()
    const api = createApi(cluster, recorder)
    await this.#signIn(api)
    const projects = [await newProject(api, people), await newProject(api, people)]
    const random = createRandom(seed)
    api.interfere = () => {
      const choice = random.next()
      return choice < 0.05 ? 'lose' : choice < 0.1 ? 'twice' : 'none'
    }
    const clients = await Clients.start({
      seed,
      servers: cluster,
      api,
      recorder,
      people,
      projects,
      watchers: 4,
      pauseMs: 4,
      accessMs: 400,
    })
    try {
      const endsAt = performance.now() + maxSeconds * 1_000
      for (let turn = 1; recorder.calls < calls && performance.now() < endsAt; turn += 1) {
        await Bun.sleep(pollMs)
        if (needs === 'redis-emptied' && turn % emptyRedisEvery === 0) await this.#emptyRedis(turn)
      }
      api.interfere = null
      const views = await clients.settle(db, settleMs)
      const [fault] = clients.faults
      if (variant === null && fault !== undefined) throw new Error(fault)
      return checkHistory(recorder.history(await readFinal(db, projects, views)))
    } finally {
      clients.stop()
    }
  }

  /** FLUSHALL, and Redis killed and started empty, in turn. */
  async #emptyRedis(turn: number): Promise<void> {
    const { redis } = this.cluster
    if (turn % (2 * emptyRedisEvery) === 0) {
      await redis.kill()
      await redis.start()
    } else if (this.redis.status === 'ready') await this.redis.flushall()
  }

  /** Starts the servers again where they run as something else. */
  async #become(variant: string | null): Promise<void> {
    if (variant === this.#variant) return
    this.#variant = variant
    const environment = variant === null ? {} : variantEnvironment(variant)
    for (const server of this.cluster.servers) {
      await server.kill()
      // A busy machine may need longer than the deadline of one start.
      await server.start(environment).catch(() => server.start(environment))
    }
  }

  /** Tokens expire after 15 min, and all variants together take longer. */
  async #signIn(api: Api): Promise<void> {
    for (const person of this.people) {
      const body = { email: emailOf(person.number), password }
      const session = expectStatus(await api.call('POST', '/api/auth/login', null, body), 200, 'login')
      person.token = session.accessToken
    }
  }
}

const registerPeople = (api: Api): Promise<Person[]> =>
  Promise.all(
    Array.from({ length: peopleCount }, async (_, number): Promise<Person> => {
      const body = { name: `Person ${number}`, email: emailOf(number), password }
      const session = expectStatus(await api.call('POST', '/api/auth/register', null, body), 201, 'register')
      return { number, id: session.user.id, token: session.accessToken }
    }),
  )

const newProject = async (api: Api, people: Person[]): Promise<string> => {
  const [owner, ...others] = people
  const answer = await api.call('POST', '/api/projects', owner!.token, { name: 'Contended' })
  const { id } = expectStatus(answer, 201, 'project')
  for (const { number } of others) {
    const body = { email: emailOf(number), role: 'editor' }
    expectStatus(await api.call('POST', `/api/projects/${id}/members`, owner!.token, body), 201, 'member')
  }
  return id
}
