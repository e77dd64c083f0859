// A file that says which process owns a data folder and which child works in it. After any crash it shows what
// is left over: a live owner means hands off, a live child without an owner is an orphan to be ended.
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { end } from './guarded.ts'
import { identify, isAlive, type ProcessIdentity } from './process-identity.ts'

export interface Claim {
  owner: ProcessIdentity
  child?: ProcessIdentity
  /** The address the owner serves. */
  url?: string
}

/** The data folder belongs to another live process. */
export class ClaimedError extends Error {
  override readonly name = 'ClaimedError'
  constructor(
    what: string,
    readonly holder: Claim,
  ) {
    super(`${what} is in use by process ${holder.owner.pid}`)
  }
}

const orphanTimeoutMs = 15_000
const settleMs = 30

const read = (path: string): Claim | undefined => {
  try {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- only this module writes the file
    return JSON.parse(readFileSync(path, 'utf8')) as Claim
  } catch {
    return undefined // absent, or cut off by a crash: it names no owner
  }
}

const self = (): ProcessIdentity => identify(process.pid)!

const isMine = (claim: Claim | undefined): boolean => claim?.owner.pid === process.pid

const tryCreate = (path: string): boolean => {
  try {
    writeFileSync(path, JSON.stringify({ owner: self() }), { mode: 0o600, flag: 'wx' })
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
    throw error // a full disk or a missing permission is no other owner
  }
}

/** Takes `path` or throws ClaimedError; ends the child that a dead owner left behind, with `signal` at first. */
export const claim = async (
  path: string,
  what: string,
  signal: 'SIGINT' | 'SIGTERM' = 'SIGTERM',
): Promise<void> => {
  if (tryCreate(path)) return
  const left = read(path)
  if (left && !isMine(left) && isAlive(left.owner)) throw new ClaimedError(what, left)
  if (left?.child) await end(left.child, signal, orphanTimeoutMs)
  const stale = `${path}.${process.pid}`
  try {
    renameSync(path, stale)
    rmSync(stale)
  } catch {
    // Another process may clear up at the same moment; the next line decides which one wins.
  }
  const isTaken = tryCreate(path)
  await Bun.sleep(settleMs) // the other may have moved our file away, taking it for the stale one
  const now = read(path)
  if (!isTaken || !isMine(now)) throw new ClaimedError(what, now ?? { owner: self() })
}

/** Writes down what is known about the claim this process holds. */
export const note = (path: string, about: Omit<Claim, 'owner'>): void =>
  writeFileSync(path, JSON.stringify({ owner: self(), ...about }), { mode: 0o600 })

export const release = (path: string): void => rmSync(path, { force: true })
