// When a client gives a silent connection up, on a clock of the test.
import { afterEach, beforeEach, expect, spyOn, test } from 'bun:test'
import { Liveness } from '../../packages/client/src/connection/liveness.ts'
import { timing } from '../../packages/client/src/timing.ts'

const heartbeat = { ping: 25_000, dead: 40_000 }

/** Timers that fire at their time; `Date.now` is ahead of them by how long the device slept. */
class Clock {
  now = 0
  sleptMs = 0
  readonly #due: { at: number; act: () => void }[] = []

  after(ms: number, act: () => void): void {
    this.#due.push({ at: this.now + ms, act })
  }

  every(ms: number, act: () => void): void {
    this.after(ms, () => {
      act()
      this.every(ms, act)
    })
  }

  advance(to: number): void {
    for (;;) {
      const next = this.#due.toSorted((a, b) => a.at - b.at)[0]
      if (!next || next.at > to) break
      this.#due.splice(this.#due.indexOf(next), 1)
      this.now = next.at
      next.act()
    }
    this.now = to
  }
}

let clock: Clock
let deadAt: number[]
let liveness: Liveness
let date: { mockRestore(): void }

beforeEach(() => {
  clock = new Clock()
  deadAt = []
  date = spyOn(Date, 'now').mockImplementation(() => clock.now + clock.sleptMs)
  liveness = new Liveness({
    timers: clock,
    timing,
    sendPing: () => {},
    dead: () => void deadAt.push(clock.now),
  })
  liveness.received()
  liveness.start(heartbeat)
})
afterEach(() => date.mockRestore())

for (const last of [0, 1, 4_999, 5_000, 12_345, 39_999])
  test(`a connection whose last frame came after ${last} ms is given up 40 s later, not up to 45 (C-LIV-2)`, () => {
    clock.advance(last)
    liveness.received()
    clock.advance(last + 39_999)
    expect(deadAt).toEqual([])
    clock.advance(200_000)
    expect(deadAt).toEqual([last + 40_000])
  })

test('a connection that receives a frame every 39 s is kept', () => {
  for (let at = 39_000; at < 600_000; at += 39_000) {
    clock.advance(at)
    liveness.received()
  }
  expect(deadAt).toEqual([])
})

test('a connection that died while the device slept is given up within 5 s of its waking, although timers stood still', () => {
  clock.advance(1_000)
  clock.sleptMs = 3_600_000
  clock.advance(6_000)
  expect(deadAt).toHaveLength(1)
})

test('a clock that is set back by hours does not keep a dead connection open', () => {
  clock.advance(1_000)
  clock.sleptMs = -7_200_000
  clock.advance(6_000)
  expect(deadAt).toHaveLength(1)
})
