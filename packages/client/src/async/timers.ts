// Timers that their owner clears together.

export class Timers {
  readonly #running = new Set<ReturnType<typeof setTimeout>>()

  /** Whether no timer runs. */
  get isIdle(): boolean {
    return this.#running.size === 0
  }

  after(ms: number, act: () => void): void {
    const timer = setTimeout(() => {
      this.#running.delete(timer)
      act()
    }, ms)
    this.#running.add(timer)
  }

  every(ms: number, act: () => void): void {
    this.after(ms, () => {
      act()
      this.every(ms, act)
    })
  }

  clear(): void {
    for (const timer of this.#running) clearTimeout(timer)
    this.#running.clear()
  }
}
