// The people and projects of a soak, and one phase of load on them: writers with a ledger, followers that drop and
// resume, people who read, comment and upload, and acts that notify.
import type { Database } from '../../src/db/client.ts'
import { Traffic } from '../chaos/traffic.ts'
import { expectStatus, type Api } from '../oracle/api.ts'
import { Follower } from '../oracle/follower.ts'
import { Ledger } from '../oracle/ledger.ts'
import { Notices } from '../oracle/notices.ts'
import { createRandom } from '../oracle/random.ts'
import type { Cluster } from '../support/cluster.ts'
import { SoakLoad, type SoakPerson } from './load.ts'

export interface SceneSizes {
  people: number
  projects: number
  membersPerProject: number
  followers: number
  readers: number
  uploaders: number
  /** Pause of a lane between two calls, milliseconds. */
  everyMs: number
}

export const usualSizes: SceneSizes = {
  people: 24,
  projects: 8,
  membersPerProject: 6,
  followers: 32,
  readers: 6,
  uploaders: 2,
  everyMs: 500,
}

const password = 'a soak of many minutes'
/** Access tokens are valid for 15 minutes. */
const refreshEveryMs = 240_000
const drops = { min: 3_000, max: 30_000 }
const tasksOfLane = 15
const acting = 4

/** One after another: a server hashes two passwords at once and refuses what waits too long. */
export const registerPeople = async (api: Api, db: Database, count: number): Promise<SoakPerson[]> => {
  const people: SoakPerson[] = []
  for (let number = 0; number < count; number += 1) {
    const body = { name: `Person ${number}`, email: `person-${number}@example.com`, password }
    const session = expectStatus(await api.call('POST', '/api/auth/register', null, body), 201, 'register')
    const { user, accessToken: token, refreshToken } = session
    people.push({ number, id: user.id, token, refreshToken })
  }
  await db.transact((tx) => tx`update users set email_verified_at = now()`)
  return people
}

const openProject = async (
  api: Api,
  name: string,
  [owner, ...others]: SoakPerson[],
): Promise<{ id: string; members: SoakPerson[] }> => {
  const { id } = expectStatus(
    await api.call('POST', '/api/projects', owner!.token, { name }, `project-${name.replaceAll(' ', '-')}`),
    201,
    'project',
  )
  for (const { number } of others) {
    const body = { email: `person-${number}@example.com`, role: 'editor' }
    const answer = await api.call(
      'POST',
      `/api/projects/${id}/members`,
      owner!.token,
      body,
      `${id}-${number}`,
    )
    expectStatus(answer, 201, 'member')
  }
  return { id, members: [owner!, ...others] }
}

export interface Phase {
  ledger: Ledger
  followers: Follower[]
  notices: Notices
  load: SoakLoad
  traffic: Traffic
  projects: { id: string }[]
  /** Ends writing and reading; the followers stay. */
  stop: () => Promise<void>
}

/** The last `acting` people act in a project of their own: they read no notification. */
export const startPhase = async (
  name: string,
  {
    api,
    cluster,
    people,
    sizes,
    seed,
  }: {
    api: Api
    cluster: Cluster
    people: SoakPerson[]
    sizes: SceneSizes
    seed: number
  },
): Promise<Phase> => {
  const random = createRandom(seed)
  const others = people.slice(0, -acting)
  const projects = await Promise.all(
    Array.from({ length: sizes.projects }, (_, n) => {
      const members = Array.from(
        { length: sizes.membersPerProject },
        (_, k) => others[(n * 3 + k) % others.length]!,
      )
      return openProject(api, `${name} ${n}`, members)
    }),
  )
  const acts = await openProject(api, `${name} acts`, people.slice(-acting))
  const ledger = new Ledger()
  const followers = Array.from({ length: sizes.followers }, (_, index) => {
    const project = projects[index % projects.length]!
    const own = createRandom(seed * 31 + index)
    return new Follower({
      person: own.pick(project.members),
      projectId: project.id,
      servers: cluster,
      api,
      random: own,
      drops,
    })
  })
  await Promise.all(followers.map((follower) => follower.start()))
  const { everyMs, readers, uploaders } = sizes
  const traffic = new Traffic({
    api,
    ledger,
    projects,
    lanesPerProject: 1,
    everyMs: 2 * everyMs,
    random,
    maxTasks: tasksOfLane,
  })
  const load = new SoakLoad({ api, cluster, projects, random, readers, uploaders, everyMs })
  const notices = new Notices({
    api,
    projectId: acts.id,
    people: acts.members,
    random,
    lanes: 1,
    everyMs: 5 * everyMs,
  })
  let turn = 0
  const refreshes = setInterval(
    () =>
      void load
        .refresh(people[(turn += 1) % people.length]!)
        .catch((error) => load.errors.push(String(error))),
    refreshEveryMs / people.length,
  )
  return {
    ledger,
    followers,
    notices,
    load,
    traffic,
    projects: [...projects, acts],
    stop: async () => {
      clearInterval(refreshes)
      await Promise.all([traffic.stop(), load.stop(), notices.stop()])
    },
  }
}

const callsEach = 6

/** Opens every connection that pools may open: more calls at once than a pool has connections. */
export const fillPools = async (api: Api, people: SoakPerson[], projectId: string): Promise<void> => {
  const owner = people.at(-acting)!
  const reads = Array.from({ length: callsEach * people.length }, (_, n) =>
    api.call('GET', `/api/tasks?limit=20&search=burst`, people[n % people.length]!.token),
  )
  const writes = Array.from({ length: callsEach }, (_, n) =>
    api.call('POST', '/api/tasks', owner.token, { projectId, title: `Burst ${n}` }, `burst-${n}`),
  )
  await Promise.all([...reads, ...writes])
}
