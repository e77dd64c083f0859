// A budget of bytes held at once, in total and by each holder. Disposing a reservation returns its bytes. Invariant: a
// holder without a reservation takes no memory here.

export interface ByteBudgetOptions {
  total: number
  perHolder: number
}

/** Bytes taken from a budget until it is disposed; disposing again does nothing. */
export interface Reservation extends Disposable {
  readonly holder: string
  readonly bytes: number
  /** Takes more bytes; false, and none taken, where the budget has no room. */
  grow(bytes: number): boolean
}

/** Which part of a budget is used up. */
export type Shortage = 'total' | 'holder'

export class ByteBudget {
  readonly #byHolder = new Map<string, number>()
  #taken = 0

  constructor(private readonly options: ByteBudgetOptions) {}

  get taken(): number {
    return this.#taken
  }

  take(holder: string, bytes: number): Reservation | Shortage {
    return this.shortage(holder, bytes) ?? this.takeAnyway(holder, bytes)
  }

  /** Takes bytes whether or not there is room: for what is in memory already and cannot be refused. */
  takeAnyway(holder: string, bytes: number): Reservation {
    this.#add(holder, bytes)
    let held = bytes
    return {
      holder,
      get bytes() {
        return held
      },
      grow: (more) => {
        if (this.shortage(holder, more)) return false
        this.#add(holder, more)
        held += more
        return true
      },
      [Symbol.dispose]: () => {
        this.#add(holder, -held)
        held = 0
      },
    }
  }

  /** Which part of the budget has no room for so many bytes more; null where they have room. */
  shortage(holder: string, bytes: number): Shortage | null {
    if ((this.#byHolder.get(holder) ?? 0) + bytes > this.options.perHolder) return 'holder'
    return this.#taken + bytes > this.options.total ? 'total' : null
  }

  #add(holder: string, bytes: number): void {
    this.#taken += bytes
    const held = (this.#byHolder.get(holder) ?? 0) + bytes
    if (held === 0) this.#byHolder.delete(holder)
    else this.#byHolder.set(holder, held)
  }
}
