// Who wants to hear of something. Invariant: a listener that throws disturbs neither the others nor whoever tells
// them; what it threw is the program's uncaught error, as from any event handler.

export class Listeners<T = void> {
  readonly #all = new Set<{ hear: (news: T) => void }>()

  /** Answers how to stop. */
  add(hear: (news: T) => void): () => void {
    const listener = { hear }
    this.#all.add(listener)
    return () => this.#all.delete(listener)
  }

  tell(news: T): void {
    for (const { hear } of this.#all) guarded(() => hear(news))
  }

  clear(): void {
    this.#all.clear()
  }
}

/** Calls what the program gave, and goes on if that throws. */
export const guarded = (call: () => void): void => {
  try {
    call()
  } catch (error) {
    if (typeof reportError === 'function') reportError(error)
    else
      queueMicrotask(() => {
        throw error
      })
  }
}
