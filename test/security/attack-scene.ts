// What the attacks of one greedy user need, and another user whose requests are measured beside them.
import { SQL } from 'bun'
import { call, makeProject, makeTasks, registerPeople } from '../../bench/people.ts'
import type { Cluster } from '../support/cluster.ts'
import type { AttackKind } from './attacks.ts'

/** The argument of `attacker.ts`, as JSON. */
export interface AttackRequest {
  kind: AttackKind
  url: string
  token: string
  seconds: number
  /** 64 scopes of the attacker with a cursor each, as parts of a query. */
  pairs: string[]
  /** Tasks of the attacker, 100 of them. */
  taskIds: string[]
  /** A project with 1,700 descriptions of 40 kB: 68 MB. */
  largeProjectId: string
}

export interface Scene {
  readonly request: Omit<AttackRequest, 'kind' | 'seconds'>
  readonly other: { token: string; projectId: string; taskId: string; taskIds: string[] }
  /** Renews both tokens: an access token is valid for 15 minutes. */
  renew(): Promise<void>
}

const scopes = 64
const tasksOfOther = 2_000
const largeTasks = 1_700

export const prepareScene = async (
  { servers, databaseUrl }: Cluster,
  kinds: readonly AttackKind[],
  report: (line: string) => void,
): Promise<Scene> => {
  const { url } = servers[0]!
  const people = await registerPeople(url, 2, { prefix: 'attack' })
  const [attacker, other] = [people.users[0]!, people.users[1]!]
  report(`making ${scopes} projects and their tasks`)
  const projectIds = [attacker.projectId]
  while (projectIds.length < scopes) projectIds.push(await makeProject(url, attacker.token, 'Attack'))
  const taskIds = await makeTasks(url, attacker, attacker.projectId, 100)
  const pairs: string[] = []
  for (const id of projectIds) {
    const { cursor } = await call(url, 'GET', `/api/projects/${id}/snapshot?limit=1`, attacker.token)
    pairs.push(`scope=project:${id}&cursor=${cursor}`)
  }
  // What a search of the attacker would go through if it read the tasks of others.
  const [taskId, ...others] = await makeTasks(url, other, other.projectId, tasksOfOther)
  const largeProjectId = await makeProject(url, attacker.token, 'Attack')
  if (kinds.includes('snapshots') || kinds.includes('unread')) {
    report(`making ${largeTasks} descriptions of 40 kB`)
    await using sql = new SQL({ url: databaseUrl, max: 1 })
    await sql`
      insert into tasks (id, project_id, title, description, rank)
      select gen_random_uuid(), ${largeProjectId}::uuid, 'long', repeat('𝔱', 10000), lpad(n::text, 8, '0')
      from generate_series(1, ${largeTasks}::int) n`
  }
  return {
    get request() {
      return { url, token: attacker.token, pairs, taskIds, largeProjectId }
    },
    get other() {
      return { token: other.token, projectId: other.projectId, taskId: taskId!, taskIds: others }
    },
    renew: () => people.renew(),
  }
}
