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
/** How hashes of this cost begin. */
export const hashPrefix = `$argon2id$v=19$m=${argon2id.memoryCost},t=${argon2id.timeCost},p=1$`

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

  return {
    hash,
    verify: (password, stored, userId) =>
      inTurn(userId, async () => {
        const valid = await matches(normal(password), stored)
        return { valid, outdated: valid && stored?.startsWith(hashPrefix) === false }
      }),
  }
}

/**
 * What is verified where there is no account, or none with a password: the same work as for a real one, from the first
 * attempt on. Of a random password, which is not kept; that it matches nothing does not depend on it.
 */
export const decoyHash =
  '$argon2id$v=19$m=19456,t=2,p=1$Hmf82I1BVQ7sRciHu5r+W4IEvQJ1rGl1X9PDaTwepBs$cOzia4bnb08SjxztfchpPmO11ZYbAdN7jmN85t7297Y'

/** A hash that cannot be read matches nothing, and takes as long as one that can. */
const matches = async (password: string, stored: string | null): Promise<boolean> => {
  try {
    return (await Bun.password.verify(password, stored ?? decoyHash)) && stored !== null
  } catch {
    await Bun.password.verify(password, decoyHash)
    return false
  }
}

/** One spelling for what keyboards compose differently; an unpaired surrogate could not be hashed apart. */
const normal = (password: string): string => password.normalize('NFC')
