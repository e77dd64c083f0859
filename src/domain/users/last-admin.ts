// An instance keeps an admin: the last one cannot be deleted, disabled or made a user by a request. Commands
// of the operator may do all of it, because they can also make another admin.
import type { Tx } from '../../db/client.ts'
import { hasOtherAdmin, lockAdminRole } from '../../db/users/accounts.ts'
import { AppError } from '../../errors.ts'

/**
 * Before everything else in a transaction that may take an admin away: of two that remove each other at the same time,
 * the second sees that it is the last.
 */
export const lockAdmins = (tx: Tx): Promise<void> => lockAdminRole(tx)

/** 409 `last_admin`. */
export const requireOtherAdmin = async (tx: Tx, userId: string): Promise<void> => {
  if (!(await hasOtherAdmin(tx, userId))) throw new AppError('last_admin')
}
