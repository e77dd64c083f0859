// Passwords: which are acceptable, and hashing. Invariant: the number of hashes that run and that wait is bounded,
// because Bun computes them on the thread pool that also resolves names and reads files.
import { isCommonPassword } from './common-passwords.ts'
import { invalid, overloaded } from '../errors.ts'
import { createFairTurns } from '../limits/fair-turns.ts'

/**
 * Argon2id behind a semaphore, so that sign-in floods cannot starve the process. `userId` names the signed-in user
 * whom a hash is for: their hashes have a queue of their own, so that they cannot fill the queue of sign-ins.
 */
export interface Passwords {
  hash(password: string, userId?: string): Promise<string>
  /** Takes as long without a hash, so that the duration does not reveal whether an account exists. */
  verify(password: string, hash: string | null, userId?: string): Promise<PasswordVerdict>
}

export interface PasswordVerdict {
  valid: boolean
  outdated: boolean
}

/**
 * The way a request verifies a password: under the limits of failed checks. 429 `rate_limited`.
 * @param account `userId` is null where no account has the address.
 */
export type PasswordCheck = (
  account: { userId: string | null; email: string },
  password: string,
  hash: string | null,
) => Promise<PasswordVerdict>

/** OWASP's smallest recommended argon2id: 20 ms of one core, 19 MiB. */
const argon2id = { algorithm: 'argon2id', memoryCost: 19_456, timeCost: 2 } as const
const current = `$argon2id$v=19$m=${argon2id.memoryCost},t=${argon2id.timeCost},p=1$`

/** Waiting hashes for each that may run, in each of the two queues: about two thirds of a second of work. */
const waitingPerRunning = 32
/** Of one signed-in user: one concurrent request more. */
const maxWaitingPerUser = 2

/** 422 for a common password; the schema checks the length. */
export const rejectCommonPassword = (password: string, pointer: string): void => {
  if (isCommonPassword(password)) throw invalid({ pointer, detail: 'is among the most common passwords' })
}

/**
 * @param maxAtOnce hashes computed at the same time.
 * `hash` and `verify` throw 503 `unavailable` at once when too many wait already.
 */
export const createPasswords = (maxAtOnce: number): Passwords => {
  const inTurn = createFairTurns({
    atOnce: maxAtOnce,
    maxWaiting: maxAtOnce * waitingPerRunning,
    maxWaitingPerUser,
    refusal: () => overloaded('Too many passwords are being checked'),
  })

  const hash: Passwords['hash'] = (password, userId) =>
    inTurn(userId, () => Bun.password.hash(normal(password), argon2id))

  // Verified against when there is no account: the same work as for a real one.
  let decoy: string | undefined
  const decoyHash = async (): Promise<string> =>
    (decoy ??= await Bun.password.hash(Bun.randomUUIDv7(), argon2id))

  return {
    hash,
    verify: (password, stored, userId) =>
      inTurn(userId, async () => {
        // oxlint-disable-next-line promise/prefer-await-to-then -- a hash that cannot be read matches nothing
        const matches = await Bun.password
          .verify(normal(password), stored ?? (await decoyHash()))
          .catch(() => false)
        const valid = matches && stored !== null
        return { valid, outdated: valid && !stored.startsWith(current) }
      }),
  }
}

/** One spelling for what keyboards compose differently; an unpaired surrogate could not be hashed apart. */
const normal = (password: string): string => password.normalize('NFC')
