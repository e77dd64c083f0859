// The queue in which postgres.js keeps its connections and queries, with the patch of this repository: it holds what is
// in it and nothing more, however long it is never empty, as the queue of idle connections is.
import { expect, test } from 'bun:test'
import { heapStats } from 'bun:jsc'
import { join } from 'node:path'
import { createRandom } from '../oracle/random.ts'

interface Queue<T> {
  readonly length: number
  push: (one: T) => T
  shift: () => T | undefined
  remove: (one: T) => T | null
}

const { default: createQueue }: { default: <T>(initial?: T[]) => Queue<T> } = await import(
  join(import.meta.dir, '../../node_modules/postgres/src/queue.js')
)

const heapBytes = (): number => {
  Bun.gc(true)
  return heapStats().heapSize
}

test('a queue that is never empty takes the same memory after a million elements', () => {
  const queue = createQueue([{ id: 0 }, { id: 1 }, { id: 2 }])
  const before = heapBytes()
  for (let turn = 0; turn < 1_000_000; turn += 1) queue.push(queue.shift()!)
  expect(heapBytes() - before).toBeLessThan(1024 * 1024)
  expect(queue.length).toBe(3)
})

test('elements leave in order, whatever is removed in between', () => {
  const seed = Math.floor(Math.random() * 1e9)
  console.log(`seed ${seed}`)
  const random = createRandom(seed)
  const queue = createQueue<object>()
  const model: object[] = []
  for (let step = 0; step < 50_000; step += 1) {
    const act = random.between(0, 99)
    if (act < 49 || model.length === 0) {
      const one = {}
      queue.push(one)
      model.push(one)
    } else if (act < 97) expect(queue.shift()).toBe(model.shift())
    else {
      const one = random.pick(model)
      expect(queue.remove(one)).toBe(one)
      model.splice(model.indexOf(one), 1)
    }
    expect(queue.length).toBe(model.length)
  }
})
