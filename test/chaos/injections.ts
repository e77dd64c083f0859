// How often a fault was injected, by kind. A kind that was never injected is a violation: no run passes with a title that
// names what did not happen.
import type { Arena } from './arena.ts'

export class Injections<Kind extends string> {
  readonly #counts: Map<Kind, number>

  constructor(
    private readonly arena: Pick<Arena, 'notes' | 'violations'>,
    kinds: readonly Kind[],
  ) {
    this.#counts = new Map(kinds.map((kind) => [kind, 0]))
  }

  add(kind: Kind, count = 1): void {
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + count)
  }

  /** Kinds that were not injected yet. */
  get missing(): Kind[] {
    return [...this.#counts].filter(([, count]) => count === 0).map(([kind]) => kind)
  }

  /** Notes how often each kind was injected, and returns the sum. */
  finish(): number {
    const { notes, violations } = this.arena
    notes.push([...this.#counts].map(([kind, count]) => `${kind} ${count}`).join(', '))
    if (this.missing.length > 0) violations.push(`never injected: ${this.missing.join(', ')}`)
    return [...this.#counts.values()].reduce((sum, count) => sum + count, 0)
  }
}
