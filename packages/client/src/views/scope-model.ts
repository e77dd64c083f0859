// What a replica keeps true: a scope's state as a view holds it, and the snapshot it starts from.
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
  /** Something may look different: the state of the line, too. */
  changed(): void
  /** The right to see it is gone. */
  purge(): void
  /** What is held, as JSON takes it; null while something of it is still being read. */
  dump(): unknown
  /** Takes what `dump` gave to an earlier run. False if it is no such thing: nothing has changed then. */
  restore(state: unknown): boolean
}
