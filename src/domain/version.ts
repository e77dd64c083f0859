// Conditional writes: a write with `If-Match` fails if a writable field changed after each version it names.
import { AppError } from '../errors.ts'

/** The versions `If-Match` names, of which one must be current; null for a write without a condition. */
export type SeenVersions = readonly number[] | null

/**
 * 412 `version_conflict` unless one of the seen versions has the writable fields of today.
 * @param current `contentVersion`: the version at which a writable field changed last; counters raise only `version`.
 */
export const requireSeen = (
  seen: SeenVersions,
  { version, contentVersion }: { version: number; contentVersion: number },
): void => {
  if (seen === null || seen.some((one) => contentVersion <= one && one <= version)) return
  throw new AppError('version_conflict', undefined, { extra: { currentVersion: version } })
}
