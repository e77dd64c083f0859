// From the id or e-mail of a body to a user's id: one 422 for an unknown user and for one the actor may not name, so
// that the response does not reveal who has an account.
import type { Tx } from '../../db/client.ts'
import { selectUserId } from '../../db/projects/members.ts'
import { AppError, invalid } from '../../errors.ts'
import { canonicalEmail } from '../../model/text-form.ts'

/** The user named by exactly one of id and e-mail. 422 `user_not_found` with its pointer where there is none. */
export const findUser = async (
  tx: Tx,
  { userId, email }: { userId?: string; email?: string },
): Promise<string> => {
  if ((userId === undefined) === (email === undefined))
    throw invalid({ pointer: '', detail: 'must name a person by either userId or email' })
  const found = await selectUserId(tx, userId === undefined ? { email: canonicalEmail(email!) } : { userId })
  if (found !== null) return found
  throw userNotFound(userId === undefined ? '/email' : '/userId')
}

export const userNotFound = (pointer: string): AppError =>
  new AppError('user_not_found', undefined, { errors: [{ pointer, detail: 'names no known person' }] })
