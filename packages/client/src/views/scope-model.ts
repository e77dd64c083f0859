// What a replica needs of a view: applying events, loading snapshots, storing and restoring the state.
import type { Event } from '../connection/frames.ts'

/** What a snapshot brought: where it is true, and how to make it the state. */
export interface LoadedSnapshot {
  /** Its full name: a server knows no `user:me` in its frames. */
  scope: string
  cursor: string
  install: () => void
}

/** The state that is kept true. */
export interface ScopeModel {
  load(signal: AbortSignal): Promise<LoadedSnapshot>
  apply(event: Event): void
  /** Everything up to here has been applied, and nothing from before will come again. */
  confirmed(cursor: string): void
  /** The state, or that of the connection, may have changed. */
  changed(): void
  /** The right to see it is gone. */
  purge(): void
  /** What is held, as JSON takes it; null while something of it is still being read. */
  dump(): unknown
  /** Takes what `dump` gave to an earlier run. False if it is no such thing: nothing has changed then. */
  restore(state: unknown): boolean
}
