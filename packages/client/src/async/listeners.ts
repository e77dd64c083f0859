// A set of listeners. Invariant: a listener that throws affects neither the other listeners nor the emitter; its error
// becomes an uncaught error of the program, as with any event handler.

export class Listeners<T = void> {
  readonly #listeners = new Set<{ call: (value: T) => void }>()

  /** Returns a function that removes the listener. The same function may be added twice. */
  add(call: (value: T) => void): () => void {
    const listener = { call }
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  emit(value: T): void {
    for (const { call } of this.#listeners) callGuarded(() => call(value))
  }

  clear(): void {
    this.#listeners.clear()
  }
}

/** Calls a function of the program; reports what it throws as an uncaught error. */
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
