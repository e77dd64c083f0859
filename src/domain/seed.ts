// Demo data: two accounts whose passwords are public, and a project with tasks. Created through
// the same functions as everything else; only the password rule is passed by, and never in production.
import { ConfigError } from '../config.ts'
import { selectCredentials } from '../db/users/users.ts'
import type { Project } from '../model/project.ts'
import type { Role } from '../model/user.ts'
import type { NewTask } from '../model/task.ts'
import { createUser } from './users/new-user.ts'
import type { AuthDeps } from './users/sign-in.ts'
import { demoAccounts } from './users/demo-accounts.ts'
import { addMember } from './projects/members.ts'
import { createProject } from './projects/projects.ts'
import { createTask, type TaskDeps } from './tasks/tasks.ts'
import { write, type WriteResult, type WriteRequest } from './write.ts'
import { systemActorFor, type Actor } from '../model/actor.ts'

/** The caller under whose limits the accounts are created. */
const caller = 'seed'

const minute = 60_000
const day = 24 * 60 * minute

/** What seeding needs. */
export type SeedDeps = AuthDeps & TaskDeps

/** Returns false, and does nothing, where the accounts exist already. Throws `ConfigError` in production. */
export const seedDemo = async (deps: SeedDeps): Promise<boolean> => {
  if (deps.config.env === 'production')
    throw new ConfigError(['TIDE_ENV is production: the passwords of demo accounts are public'])
  const [admin, user] = [
    await ensureAccount(deps, demoAccounts[0]),
    await ensureAccount(deps, demoAccounts[1]),
  ]
  if (!admin && !user) return false
  if (admin && user) await makeProject(deps, user, admin)
  return true
}

/** The account as an actor, or null where the address has one. */
const ensureAccount = async (
  deps: AuthDeps,
  { email, name, password, role }: { email: string; name: string; password: string; role: Role },
): Promise<Actor | null> => {
  if (await deps.db.of(caller).read((sql) => selectCredentials(sql, email))) return null
  const passwordHash = await deps.passwords.hash(password)
  const { value: user } = await write(deps, { actor: systemActorFor(caller), claim: null }, async (tx) => {
    const made = { email, name, role, passwordHash, timeZone: 'UTC', emailVerified: true }
    const { user, entries } = await createUser(tx, made)
    return { value: user, entries }
  })
  return { userId: user.id, role, credential: { kind: 'system' } }
}

const makeProject = async (deps: SeedDeps, owner: Actor, guest: Actor): Promise<void> => {
  const project = await as<Project>(owner, (write) =>
    createProject(deps, write, {
      name: 'Launch',
      description: 'A demo project to look around in.',
      color: '#1e90ff',
    }),
  )
  const invitation = { email: demoAccounts[0].email, role: 'editor' } as const
  await as(owner, (write) => addMember(deps, write, project.id, invitation))
  for (const task of demoTasks(owner.userId, guest.userId)) {
    await as(owner, (write) => createTask(deps, write, { ...task, projectId: project.id }))
  }
}

const demoTasks = (ownerId: string, guestId: string): NewTask[] => {
  const inMs = (ms: number): string => new Date(Date.now() + ms).toISOString()
  return [
    { title: 'Write the launch plan', status: 'done', priority: 'high', tags: ['docs'] },
    { title: 'Try the live board in two windows', status: 'in_progress', assigneeId: ownerId },
    { title: 'Invite the team', assigneeId: guestId, dueAt: inMs(2 * day), tags: ['people'] },
    { title: 'Pick a launch date', priority: 'urgent', dueAt: inMs(minute), tags: ['docs', 'people'] },
    { title: 'Collect feedback', priority: 'low', dueAt: inMs(7 * day) },
  ]
}

/** Runs a write for a user, without a request. */
const as = async <T>(actor: Actor, run: (write: WriteRequest<T>) => Promise<WriteResult<T>>): Promise<T> => {
  const outcome = await run({ actor, claim: null })
  if (outcome.kind === 'replayed') throw new Error('a write without a claim cannot be a replay')
  return outcome.value
}
