// Where a fault is let loose: the real processes behind proxies, writers with a ledger, sockets that follow, and the
// verdict afterwards. Each run has projects, followers and a ledger of its own on a cluster that is shared.
import { openDatabase, type Database } from '../../src/db/client.ts'
import { openRedis, type Redis } from '../../src/redis/connection.ts'
import { createLog } from '../../src/log.ts'
import { createApi, expectStatus, type Api, type Person } from '../oracle/api.ts'
import { Follower } from '../oracle/follower.ts'
import { Ledger } from '../oracle/ledger.ts'
import { createRandom, type Random } from '../oracle/random.ts'
import { startCluster, type Cluster, type Role } from '../support/cluster.ts'
import { eventually } from '../support/eventually.ts'
import { startSwarm } from '../support/swarm.ts'
import { Ends } from './ends.ts'
import type { Fault, Outcome } from './fault.ts'
import { judgeSwarm, type JudgedSwarm } from './judged-swarm.ts'
import { demand, recovery, settle } from './recovery.ts'
import { judge } from './verdict.ts'
import { Traffic } from './traffic.ts'

/** What a fault is being judged by. */
interface Run {
  api: Api
  ledger: Ledger
  projects: { id: string; members: Person[] }[]
  traffic: Traffic
}

export interface ArenaOptions {
  seed: number
  servers: number
  workers: number
  projects: number
  followers: number
  /** In the faults that take many. */
  sockets: number
  /** Whether faults last as long as they do in the world, and come in their real number. */
  isLong?: boolean
  /** Longest wait for what must come, milliseconds. Default 60 s; where it must not come, less will do. */
  patienceMs?: number
  environment?: Record<string, string>
  report: (line: string) => void
}

const peopleCount = 6
const emailOf = (number: number): string => `person-${number}@example.com`
const defaultPatienceMs = 60_000
const password = 'a storm of many faults'

export class Arena implements AsyncDisposable {
  /** Figures and findings of the fault that is running. */
  notes: string[] = []
  violations: string[] = []
  #healedAt = 0
  #run: Run | null = null
  #extras = 0
  #runs = 0
  readonly #ends = new Ends()

  private constructor(
    readonly options: ArenaOptions,
    readonly cluster: Cluster,
    readonly db: Database,
    /** Straight to Redis, past the proxy. */
    readonly redis: Redis,
    readonly people: Person[],
    private readonly stack: AsyncDisposableStack,
  ) {}

  static async open(options: ArenaOptions): Promise<Arena> {
    await using stack = new AsyncDisposableStack()
    const { servers, workers, environment, report } = options
    const cluster = stack.use(
      await startCluster({ servers, workers, isProxied: true, report, ...(environment && { environment }) }),
    )
    const log = createLog('chaos', 'silent')
    const url = cluster.databaseUrl
    const db = stack.use(openDatabase({ url, max: 2, applicationName: 'chaos', log, deadlineMs: 30_000 }))
    const redis = stack.use(openRedis(cluster.redisUrl, 'request', log)).client
    const api = createApi(cluster)
    const people = await Promise.all(
      Array.from({ length: peopleCount }, async (_, number): Promise<Person> => {
        const body = { name: `Person ${number}`, email: emailOf(number), password }
        const session = expectStatus(
          await api.call('POST', '/api/auth/register', null, body),
          201,
          'register',
        )
        return { number, id: session.user.id, token: session.accessToken }
      }),
    )
    return new Arena(options, cluster, db, redis, people, stack.move())
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stack.disposeAsync()
  }

  get #patienceMs(): number {
    return this.options.patienceMs ?? defaultPatienceMs
  }

  /** The clients' way to the servers, of the fault that is running. */
  get api(): Api {
    return this.#run!.api
  }

  /** One more write to the fault's first project, counted like any other; false if it was never acknowledged. */
  async write(fields: object): Promise<boolean> {
    const op = `extra-${(this.#extras += 1)}`
    const { api, ledger, projects } = this.#run!
    const body = { projectId: projects[0]!.id, title: op, ...fields }
    const answer = await api.call(
      'POST',
      '/api/tasks',
      this.people[0]!.token,
      body,
      `${projects[0]!.id}-${op}`,
    )
    ledger.created(expectStatus(answer, 201, 'create'))
    return true
  }

  /** Sockets in a process of their own that follow the fault's first projects from now on; `judge` adds what they missed. */
  async swarm(count: number, projectCount = this.options.projects, watches = false): Promise<JudgedSwarm> {
    const projects = this.#run!.projects.slice(0, projectCount)
    const snapshots = await Promise.all(
      projects.map(async ({ id }) => {
        const answer = await this.#run!.api.call(
          'GET',
          `/api/projects/${id}/snapshot?limit=1`,
          this.people[0]!.token,
        )
        return expectStatus(answer, 200, 'snapshot').cursor as string
      }),
    )
    const seats = projects.flatMap(({ id }, index) =>
      this.people.map(({ token }) => ({ token, scope: `project:${id}`, cursor: snapshots[index]!, watches })),
    )
    const swarm = await startSwarm(
      this.cluster.servers.map(({ url }) => url),
      seats,
    )
    if (count > 0) await swarm.tell({ do: 'open', count, atOnce: 100 })
    const judge = async () => {
      const { traffic } = this.#run!
      if (this.#healedAt > 0)
        await eventually(() => demand(traffic.firsts.every(Boolean)), { timeoutMs: this.#patienceMs })
      await traffic.stop()
      const { report, violations } = await judgeSwarm(swarm, seats, this.db, this.#patienceMs)
      this.violations.push(...violations)
      return report
    }
    return Object.assign(swarm, { judge })
  }

  /** From now on everything must work again; later calls move the moment. */
  healed(): void {
    this.#healedAt = performance.now()
    this.#run?.traffic.mark()
  }

  /** kill -9, and up again after `downMs`. */
  async restart(role: Role, downMs = 0, environment?: Record<string, string>): Promise<void> {
    await this.down(role, () => role.kill())
    await Bun.sleep(downMs)
    await role.start(environment)
  }

  /** However often the role ends while `ends` runs, it is on purpose. May be nested. */
  down(role: Role, ends: () => Promise<unknown>): Promise<void> {
    return this.#ends.expected(role, ends)
  }

  async project(name: string, api: Api): Promise<{ id: string; members: Person[] }> {
    const [owner, ...others] = this.people
    const project = expectStatus(
      await api.call('POST', '/api/projects', owner!.token, { name }),
      201,
      'project',
    )
    for (const { number } of others) {
      const body = { email: emailOf(number), role: 'editor' }
      const path = `/api/projects/${project.id}/members`
      expectStatus(await api.call('POST', path, owner!.token, body), 201, 'member')
    }
    return { id: project.id, members: this.people }
  }

  /** New tokens for all: theirs last a quarter of an hour, which faults at their real length outlast together. */
  async #signIn(api: Api): Promise<void> {
    for (const person of this.people) {
      const body = { email: emailOf(person.number), password }
      person.token = expectStatus(
        await api.call('POST', '/api/auth/login', null, body),
        200,
        'login',
      ).accessToken
    }
  }

  /** Lets a fault loose for `seconds` and judges. */
  async run(fault: Fault, seconds: number): Promise<Outcome> {
    this.#runs += 1
    this.notes = []
    this.violations = []
    const { options, cluster } = this
    const random = createRandom(options.seed * 31 + this.#runs)
    const api = createApi(cluster)
    await this.#signIn(api)
    const projects = await Promise.all(
      Array.from({ length: options.projects }, (_, n) => this.project(`${fault.name} ${n}`, api)),
    )
    const ledger = new Ledger()
    const followers = await this.#follow(projects, api, random)
    const stopWatching = this.#ends.watch(cluster, (line) => this.violations.push(line))
    const traffic = new Traffic({
      api,
      ledger,
      projects,
      lanesPerProject: 2,
      everyMs: fault.writeEveryMs ?? 20,
      random,
    })
    this.#run = { api, ledger, projects, traffic }
    try {
      this.#healedAt = 0
      const blows = await fault.disturb(this, AbortSignal.timeout(seconds * 1_000))
      if (this.#healedAt === 0) this.healed()
      const recoveryMs = await recovery(traffic, followers, this.#healedAt, this.#patienceMs)
      await traffic.stop()
      await settle(this.db, followers, this.#patienceMs)
      this.violations.push(...traffic.faults)
      const { counts, violations } = await judge(fault, {
        blows,
        api,
        ledger,
        followers,
        projects,
        db: this.db,
        redis: this.redis,
        patienceMs: this.#patienceMs,
        violations: this.violations,
      })
      this.violations = violations
      const limit = fault.recoveryMs ?? 2_000
      if (recoveryMs.writers > limit)
        this.violations.push(`writers took ${recoveryMs.writers.toFixed(0)} ms to recover, not ${limit}`)
      counts.failures = this.violations.length
      return { fault, counts, recoveryMs, violations: this.violations, notes: this.notes }
    } finally {
      stopWatching()
      for (const follower of followers) follower.stop()
      await traffic.stop()
      this.#run = null
    }
  }

  async #follow(
    projects: { id: string; members: Person[] }[],
    api: Api,
    random: Random,
  ): Promise<Follower[]> {
    const followers = Array.from(
      { length: this.options.followers },
      (_, index) =>
        new Follower({
          person: this.people[index % this.people.length]!,
          projectId: projects[index % projects.length]!.id,
          servers: this.cluster,
          api,
          random: createRandom(random.between(0, 1e9)),
          // Half of them come and go, as the others only go when they must.
          drops: index % 2 === 0 ? { min: 500, max: 4_000 } : null,
        }),
    )
    await Promise.all(followers.map((follower) => follower.start()))
    await eventually(() => demand(followers.filter((one) => one.isSynced).length > followers.length / 2), {
      timeoutMs: this.#patienceMs,
    })
    return followers
  }
}
