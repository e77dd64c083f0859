// The state of one scope: how its snapshot is loaded, how events change it, and how it is stored and restored.
import type { Event } from '../connection/frames.ts'
import type { StoppedError } from '../errors.ts'

/** A snapshot that was read. */
export interface LoadedSnapshot {
  /** The full name, `user:<id>` in place of `user:me`: frames of the server have no other. */
  scope: string
  /** Where in the log the snapshot is exact. */
  cursor: string
  /** Makes it the state. */
  install: () => void
}

export interface ScopeModel {
  load(signal: AbortSignal): Promise<LoadedSnapshot>
  apply(event: Event): void
  /** Everything up to the cursor has been applied; nothing from before arrives again. */
  confirmed(cursor: string): void
  /** The right to read the scope ended: drops the state. */
  purge(error: StoppedError): void
  /** The state as JSON; null while a part of it is still being read. */
  dump(): unknown
  /** Takes the result of an earlier run's `dump`. False if it is not one: nothing has changed then. */
  restore(state: unknown): boolean
}
