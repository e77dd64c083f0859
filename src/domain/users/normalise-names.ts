// Bringing names, addresses and descriptions of the version before into NFC, one row a transaction, with the entry
// that tells of it. Invariant: two accounts whose addresses become one stay as they are: no program can tell whose
// account it is.
import { selectUserId } from '../../db/projects/members.ts'
import type { Tx } from '../../db/client.ts'
import { lockProject, updateProject } from '../../db/projects/projects.ts'
import { updateUserText } from '../../db/tasks/text-form.ts'
import { lockUser, reserveEmail } from '../../db/users/users.ts'
import { canonicalEmail, canonicalText } from '../../model/text-form.ts'
import { projectUpdated } from '../projects/project-entries.ts'
import { userUpdated } from './users.ts'
import type { UnclaimedEffect } from '../write.ts'

/** `collides`: another account has the address; its name is brought along all the same. */
export type Brought = 'changed' | 'unchanged' | 'collides'

export const bringUserAlong = async (tx: Tx, id: string): Promise<UnclaimedEffect<Brought>> => {
  const before = (await lockUser(tx, id))?.user
  if (!before) return { value: 'unchanged', entries: [] }
  const email = canonicalEmail(before.email)
  const owner = await selectUserId(tx, { email })
  const collides = owner !== null && owner !== id
  const after = { ...before, name: canonicalText(before.name), email: collides ? before.email : email }
  const changed = (['email', 'name'] as const).filter((field) => before[field] !== after[field])
  if (after.email !== before.email) await reserveEmail(tx, after.email, id)
  if (changed.length > 0) await updateUserText(tx, after)
  return {
    value: collides ? 'collides' : changed.length > 0 ? 'changed' : 'unchanged',
    entries: changed.length > 0 ? [userUpdated(before, after, changed, null)] : [],
  }
}

export const bringProjectAlong = async (tx: Tx, id: string): Promise<UnclaimedEffect<Brought>> => {
  const before = await lockProject(tx, id)
  if (!before) return { value: 'unchanged', entries: [] }
  const wanted = {
    name: canonicalText(before.name),
    description: canonicalText(before.description),
    color: before.color,
  }
  if (wanted.name === before.name && wanted.description === before.description)
    return { value: 'unchanged', entries: [] }
  const after = await updateProject(tx, id, wanted)
  return { value: 'changed', entries: projectUpdated(before, after, null) }
}
