// Who wants to hear of something. Invariant: a listener that throws disturbs neither the others nor whoever tells
// them; what it threw is the program's uncaught error, as from any event handler.

export class Listeners<T = void> {
  readonly #listeners = new Set<{ hear: (news: T) => void }>()

  /** Answers how to stop. */
  add(hear: (news: T) => void): () => void {
    const listener = { hear }
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  emit(news: T): void {
    for (const { hear } of this.#listeners) callGuarded(() => hear(news))
  }

  clear(): void {
    this.#listeners.clear()
  }
}

/** Calls what the program gave, and goes on if that throws. */
export const callGuarded = (call: () => void): void => {
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
