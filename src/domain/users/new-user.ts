// What every new account has: a valid address in canonical form, and an Inbox.
import type { Tx } from '../../db/client.ts'
import { insertUser } from '../../db/users/users.ts'
import { invalid } from '../../errors.ts'
import type { Entry } from '../../model/event.ts'
import { newId } from '../../model/scalar.ts'
import { canonicalEmail } from '../../model/text-form.ts'
import { textFault } from '../../model/text.ts'
import { emailPattern, type User } from '../../model/user.ts'
import { createInbox } from '../projects/projects.ts'

/** Creates a user and its Inbox, and returns the entries. */
export const createUser = async (
  tx: Tx,
  account: Pick<User, 'email' | 'name' | 'timeZone'> &
    Partial<Pick<User, 'role' | 'emailVerified'>> & { passwordHash: string | null },
): Promise<{ user: User; entries: Entry[] }> => {
  const user = await insertUser(tx, { id: newId(), role: 'user', emailVerified: false, ...account })
  return { user, entries: await createInbox(tx, user.id) }
}

const addressPattern = new RegExp(emailPattern, 'u')

/** The canonical form of an e-mail address. 422 for what cannot be one. */
export const normaliseEmail = (email: string, pointer = '/email'): string => {
  const address = canonicalEmail(email)
  if (addressPattern.test(address) && !textFault(address, { maxLength: 254 })) return address
  throw invalid({ pointer, detail: 'must be an e-mail address' })
}
