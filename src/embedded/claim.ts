// A file that says which process owns a data folder and which child works in it. After any crash it tells what
// is left over: a live owner means hands off, a live child without an owner is an orphan to be ended.
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { end } from './guarded.ts'
import { identify, isAlive, type ProcessIdentity } from './process-identity.ts'

interface Claim {
  owner: ProcessIdentity
  child?: ProcessIdentity
}

const orphanTimeoutMs = 15_000

const read = (path: string): Claim | undefined => {
  try {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- only this module writes the file
    return JSON.parse(readFileSync(path, 'utf8')) as Claim
  } catch {
    return undefined // absent, or cut off by a crash: it says nothing either way
  }
}

/** The process that holds `path` now, if it is not this one. */
export const ownerOf = (path: string): ProcessIdentity | undefined => {
  const owner = read(path)?.owner
  return owner && owner.pid !== process.pid && isAlive(owner) ? owner : undefined
}

/** Takes `path` or throws when another live process holds it; ends the child a dead owner left behind. */
export const claim = async (path: string, what: string): Promise<void> => {
  const owner = ownerOf(path)
  if (owner) throw new Error(`${what} is in use by process ${owner.pid}`)
  const orphan = read(path)?.child
  if (orphan) await end(orphan, 'SIGINT', orphanTimeoutMs)
  note(path)
}

/** Writes down the child that works under the claim. */
export const note = (path: string, child?: ProcessIdentity): void => {
  const owner = identify(process.pid)
  writeFileSync(path, JSON.stringify({ owner, child }), { mode: 0o600 })
}

export const release = (path: string): void => rmSync(path, { force: true })
