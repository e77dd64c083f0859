// Normalises names, addresses and descriptions of an earlier version to NFC, one row a transaction, with the entry of
// the update. Invariant: two accounts whose normalised addresses are equal stay as they are: a program cannot decide
// whose account it is.
import { selectUserId } from '../../db/projects/members.ts'
import type { Tx } from '../../db/client.ts'
import { lockProject, updateProject } from '../../db/projects/projects.ts'
import { updateUserText } from '../../db/tasks/text-form.ts'
import { lockUser, reserveEmail } from '../../db/users/users.ts'
import { canonicalEmail, canonicalText, composedText } from '../../model/text-form.ts'
import { projectUpdated } from '../projects/project-entries.ts'
import { userUpdated } from './users.ts'
import type { UnclaimedEffect } from '../write.ts'

/** `collides`: another account has the normalised address; the name is normalised all the same. */
export type Normalised = 'changed' | 'unchanged' | 'collides'

export const normaliseUser = async (tx: Tx, id: string): Promise<UnclaimedEffect<Normalised>> => {
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

export const normaliseProject = async (tx: Tx, id: string): Promise<UnclaimedEffect<Normalised>> => {
  const before = await lockProject(tx, id)
  if (!before) return { value: 'unchanged', entries: [] }
  const wanted = {
    name: canonicalText(before.name),
    description: composedText(before.description),
    color: before.color,
  }
  if (wanted.name === before.name && wanted.description === before.description)
    return { value: 'unchanged', entries: [] }
  const after = await updateProject(tx, id, wanted)
  return { value: 'changed', entries: projectUpdated(before, after, null) }
}
