// Runs faults: real processes behind proxies, writers that record acknowledged writes in a ledger, sockets that follow,
// and the checks afterwards. Each run has its own projects, followers and ledger on a shared cluster.
import { openDatabase, type Database } from '../../src/db/client.ts'
import { openRedis, type Redis } from '../../src/redis/connection.ts'
import { createLog } from '../../src/log.ts'
import { createApi, expectStatus, type Api, type Person } from '../oracle/api.ts'
import { Follower, type FollowerOptions } from '../oracle/follower.ts'
import { Ledger } from '../oracle/ledger.ts'
import { workersSettled } from '../oracle/notices.ts'
import { createRandom, type Random } from '../oracle/random.ts'
import { checkHistory } from '../consistency/check.ts'
import { Clients } from '../consistency/clients/clients.ts'
import { readFinal } from '../consistency/final.ts'
import { Recorder } from '../consistency/recorder.ts'
import { explain } from '../consistency/report.ts'
import { startCluster, type Cluster, type Role } from '../support/cluster.ts'
import { eventually } from '../support/eventually.ts'
import { startSwarm } from '../support/swarm.ts'
import { startSmtp, type TestSmtp } from '../support/smtp.ts'
import { startBalancer } from './balancer.ts'
import { Duties } from './duties.ts'
import { ExitWatch } from './exit-watch.ts'
import { checkRun } from './check-run.ts'
import { checkSwarm, type CheckedSwarm } from './checked-swarm.ts'
import { emptinessOf } from './emptiness.ts'
import type { Fault, Outcome } from './fault.ts'
import { addedLines, unhandled } from './log-lines.ts'
import { assertHolds, limitsOf, recovery, settle, waitsOf } from './recovery.ts'
import { Traffic } from './traffic.ts'

/** The state of one run of a fault. */
interface Run {
  api: Api
  ledger: Ledger
  projects: { id: string; members: Person[] }[]
  traffic: Traffic
  duties: Duties
}

export interface ArenaOptions {
  seed: number
  servers: number
  workers: number
  projects: number
  followers: number
  /** In the faults that open many. */
  sockets: number
  /** Whether faults have realistic durations and numbers. */
  isLong?: boolean
  /**
   * Longest wait for convergence, milliseconds, and for recovery where no limit is longer. Default 60 s; negative controls
   * need less.
   */
  timeoutMs?: number
  environment?: Record<string, string>
  cluster?: Fault['cluster']
  /** Whether workers send mails to an SMTP server. */
  sendsMails?: boolean
  /** Acts that notify at the same time, and the pause after each. Default one, 200 ms. */
  acts?: { lanes: number; everyMs: number }
  report: (line: string) => void
}

const peopleCount = 6
const actorCount = 4
const emailOf = (number: number): string => `person-${number}@example.com`
const defaultTimeoutMs = 60_000
const usualActs = { lanes: 1, everyMs: 200 }
const password = 'a storm of many faults'
/** Contending sessions and their views, beside the traffic. */
const contention = { watchers: 3, accessMs: 1_500, pausesPerWrite: 4 }

export class Arena implements AsyncDisposable {
  /** Figures and violations of the running fault. */
  notes: string[] = []
  violations: string[] = []
  #healedAt = 0
  #run: Run | null = null
  #extras = 0
  #runs = 0
  readonly #exits = new ExitWatch()

  private constructor(
    readonly options: ArenaOptions,
    readonly cluster: Cluster,
    readonly db: Database,
    /** A connection to Redis that bypasses the proxy. */
    readonly redis: Redis,
    readonly people: Person[],
    /** Who act in a project of their own; nothing else changes what they may read. */
    readonly actors: Person[],
    /** Receives the mails of the workers. */
    readonly smtp: TestSmtp | null,
    private readonly stack: AsyncDisposableStack,
  ) {}

  static async open(options: ArenaOptions): Promise<Arena> {
    await using stack = new AsyncDisposableStack()
    const { servers, workers, report } = options
    const smtp = options.sendsMails ? stack.use(await startSmtp()) : null
    const environment = { ...options.environment, ...(smtp && { SMTP_URL: smtp.url }) }
    const cluster = stack.use(
      await startCluster({ servers, workers, isProxied: true, report, environment, ...options.cluster }),
    )
    const log = createLog('chaos', 'silent')
    const url = cluster.databaseUrl
    const db = stack.use(openDatabase({ url, max: 2, applicationName: 'chaos', log, deadlineMs: 30_000 }))
    const redis = stack.use(openRedis(cluster.redisUrl, 'request', log)).client
    const api = createApi(cluster)
    const people = await Promise.all(
      Array.from({ length: peopleCount + actorCount }, async (_, number): Promise<Person> => {
        const account = { email: emailOf(number), password }
        const body = { name: `Person ${number}`, ...account }
        const answer = await api.call('POST', '/api/auth/register', null, body)
        // An account whose answer came too late is there at the next attempt.
        const session =
          answer.status === 409
            ? expectStatus(await api.call('POST', '/api/auth/login', null, account), 200, 'login')
            : expectStatus(answer, 201, 'register')
        return { number, id: session.user.id, token: session.accessToken }
      }),
    )
    await db.transact((tx) => tx`update users set email_verified_at = now()`)
    const actors = people.splice(peopleCount)
    return new Arena(options, cluster, db, redis, people, actors, smtp, stack.move())
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stack.disposeAsync()
  }

  get #timeoutMs(): number {
    return this.options.timeoutMs ?? defaultTimeoutMs
  }

  /** The REST client of the running fault. */
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

  /** Sockets in a process of their own that follow the fault's first projects from now on; `check` adds what they missed to the violations. */
  async swarm(count: number, projectCount = this.options.projects, watches = false): Promise<CheckedSwarm> {
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
    if (count > 0) await swarm.execute({ do: 'open', count, atOnce: 100 })
    const check = async () => {
      const { traffic } = this.#run!
      if (this.#healedAt > 0)
        await eventually(() => assertHolds(traffic.firsts.every(Boolean)), { timeoutMs: this.#timeoutMs })
      await traffic.stop()
      const { report, violations } = await checkSwarm(swarm, seats, this.db, this.#timeoutMs)
      this.violations.push(...violations)
      return report
    }
    return Object.assign(swarm, { check })
  }

  /** Marks the end of the fault, from which recovery is measured; the last call counts. */
  healed(): void {
    this.#healedAt = performance.now()
    this.#run?.traffic.mark()
    this.#run?.duties.mark()
  }

  /** A worker was killed or stopped: it may send one mail again. */
  allowRepeatedMail(): void {
    this.#run!.duties.interruptions += 1
  }

  /** The project of the acts that notify. */
  get actsProjectId(): string {
    return this.#run!.projects.at(-1)!.id
  }

  /** Kills the process with SIGKILL and starts it after `downMs`. */
  async restart(role: Role, downMs = 0, environment?: Record<string, string>): Promise<void> {
    if (this.cluster.workers.includes(role)) this.allowRepeatedMail()
    await this.down(role, () => role.kill())
    await Bun.sleep(downMs)
    await role.start(environment)
  }

  /** Exits of the role while `work` runs are expected. May be nested. */
  down(role: Role, work: () => Promise<unknown>): Promise<void> {
    return this.#exits.expected(role, work)
  }

  async project(name: string, api: Api, members = this.people): Promise<{ id: string; members: Person[] }> {
    const [owner, ...others] = members
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
    return { id: project.id, members }
  }

  /** New tokens for all users: tokens expire after 15 min, and the long runs together take longer. */
  async #signIn(api: Api): Promise<void> {
    for (const person of [...this.people, ...this.actors])
      person.token = (await this.signIn(person.number, api)).accessToken
  }

  /** A new session of a person. */
  async signIn(number: number, api = this.api): Promise<{ accessToken: string; refreshToken: string }> {
    const body = { email: emailOf(number), password }
    return expectStatus(await api.call('POST', '/api/auth/login', null, body), 200, 'login')
  }

  /** Runs a fault for `seconds` and checks the result. */
  async run(fault: Fault, seconds: number): Promise<Outcome> {
    this.#runs += 1
    this.notes = []
    this.violations = []
    const { options, cluster } = this
    const random = createRandom(options.seed * 31 + this.#runs)
    const recorder = new Recorder()
    const api = createApi(cluster, recorder)
    const profilesApi = createApi(cluster, undefined, api.avoided)
    await this.#signIn(api)
    const projects = await Promise.all(
      Array.from({ length: options.projects }, (_, n) => this.project(`${fault.name} ${n}`, api)),
    )
    const errorsBefore = await cluster.errorsLogged()
    const exits: string[] = []
    const ledger = new Ledger()
    const acts = await this.project(`${fault.name} acts`, api, this.actors)
    const ofWriters = Array.from({ length: options.followers }, (_, index) => ({
      person: this.people[index % this.people.length]!,
      projectId: projects[index % projects.length]!.id,
      recorder,
    }))
    const ofActors = this.actors.map((person) => ({ person, projectId: acts.id }))
    const all = await this.#follow([...ofWriters, ...ofActors], api, random)
    const [followers, actorFollowers] = [all.slice(0, ofWriters.length), all.slice(ofWriters.length)]
    const { writeEveryMs = 20 } = fault
    const clients = await Clients.start({
      seed: random.between(0, 1e9),
      servers: cluster,
      api,
      recorder,
      people: this.people,
      projects: [
        await this.project(`${fault.name} contended 0`, api),
        await this.project(`${fault.name} contended 1`, api),
      ].map(({ id }) => id),
      watchers: contention.watchers,
      pauseMs: contention.pausesPerWrite * writeEveryMs,
      accessMs: contention.accessMs,
    })
    const stopWatching = this.#exits.watch(cluster, (line) => exits.push(line))
    const traffic = new Traffic({
      api,
      ledger,
      projects,
      lanesPerProject: 2,
      everyMs: writeEveryMs,
      random,
    })
    const duties = await Duties.begin({
      db: this.db,
      smtp: this.smtp,
      api,
      projectId: acts.id,
      people: this.actors,
      projects: [...projects, acts],
      profilesApi,
      random,
      ...(fault.dueLaterMs !== undefined && { dueLaterMs: fault.dueLaterMs }),
      ...(options.acts ?? usualActs),
    })
    this.#run = { api, ledger, projects: [...projects, acts], traffic, duties }
    const balancers = fault.isBalanced ? [api, profilesApi].map((one) => startBalancer(cluster, one)) : []
    try {
      this.#healedAt = 0
      const injected = await fault.disturb(this, AbortSignal.timeout(seconds * 1_000))
      if (this.#healedAt === 0) this.healed()
      const limits = limitsOf(fault)
      const waits = waitsOf(limits, this.#timeoutMs)
      const [recovered, worker] = await Promise.all([
        recovery(traffic, all, this.#healedAt, waits),
        duties.recoveredMs(waits.worker),
      ])
      const recoveryMs = { ...recovered, worker }
      await Promise.all([traffic.stop(), duties.stop()])
      await clients.stopWriting()
      // What workers append by themselves comes before the views end.
      await workersSettled(this.db, this.#timeoutMs).catch(() => {}) // the duties report it
      const views = await clients.settle(this.db, this.#timeoutMs)
      await settle(this.db, all, this.#timeoutMs)
      const shown = [...followers.map(({ finalView }) => finalView), ...views]
      const final = await readFinal(this.db, recorder.projects, shown)
      const consistency = checkHistory(recorder.history(final))
      const done = await duties.check(this.#timeoutMs)
      exits.push(...unhandled(addedLines(errorsBefore, await cluster.errorsLogged())))
      this.violations.push(
        ...traffic.faults,
        ...clients.faults,
        ...consistency.violations.flatMap(explain),
        ...done.violations,
      )
      const { counts, violations } = await checkRun(fault, {
        injected,
        apis: [api, profilesApi],
        ledger,
        followers,
        actorFollowers,
        projects,
        taskIds: duties.notices.taskIds,
        db: this.db,
        redis: this.redis,
        timeoutMs: this.#timeoutMs,
        violations: this.violations,
        exits,
        duties: done.counts,
      })
      this.violations = [
        ...violations,
        ...emptinessOf(fault, counts, consistency, { sendsMails: this.smtp !== null }),
      ]
      for (const who of ['writers', 'sockets', 'worker'] as const) {
        if (recoveryMs[who] <= limits[who]) continue
        counts.late += 1
        this.violations.push(`${who} took ${recoveryMs[who].toFixed(0)} ms to recover, not ${limits[who]}`)
      }
      counts.failures = this.violations.length
      return { fault, counts, recoveryMs, violations: this.violations, notes: this.notes, consistency }
    } finally {
      stopWatching()
      for (const balancer of balancers) await balancer[Symbol.asyncDispose]()
      for (const follower of all) follower.stop()
      clients.stop()
      await Promise.all([traffic.stop(), duties.stop()])
      this.#run = null
    }
  }

  /** Half of them drop their connections, the others keep them. */
  async #follow(
    seats: Pick<FollowerOptions, 'person' | 'projectId' | 'recorder'>[],
    api: Api,
    random: Random,
  ): Promise<Follower[]> {
    const followers = seats.map(
      (seat, index) =>
        new Follower({
          ...seat,
          servers: this.cluster,
          api,
          random: createRandom(random.between(0, 1e9)),
          drops: index % 2 === 0 ? { min: 500, max: 4_000 } : null,
        }),
    )
    await Promise.all(followers.map((follower) => follower.start()))
    await eventually(
      () => assertHolds(followers.filter((one) => one.isSynced).length > followers.length / 2),
      {
        timeoutMs: this.#timeoutMs,
      },
    )
    return followers
  }
}
