// How batches are formed from waiting writes: round-robin between callers, in the order of arrival, bounded.
import { expect, test } from 'bun:test'
import { WriteQueue, type QueuedWrite } from '../../src/domain/write-queue.ts'

let arrivals = 0

const write = (caller: string, more: Partial<QueuedWrite> = {}): QueuedWrite => ({
  caller,
  order: (arrivals += 1),
  key: null,
  holds: [],
  bytes: 1_000,
  ...more,
})

const queueOf = (...writes: QueuedWrite[]): WriteQueue<QueuedWrite> => {
  const queue = new WriteQueue<QueuedWrite>()
  for (const one of writes) queue.add(one)
  return queue
}

const many = (caller: string, count: number, more?: Partial<QueuedWrite>) =>
  Array.from({ length: count }, () => write(caller, more))

const free = () => false

const countBy = (batch: QueuedWrite[]) =>
  Object.fromEntries(
    [...Map.groupBy(batch, ({ caller }) => caller)].map(([caller, own]) => [caller, own.length]),
  )

test('a caller alone fills a batch of 128 in the order of arrival; the others follow', () => {
  const writes = many('ada', 200)
  const queue = queueOf(...writes)
  expect(queue.take(free)).toEqual(writes.slice(0, 128))
  expect(queue.take(free)).toEqual(writes.slice(128))
  expect(queue.isEmpty).toBe(true)
})

test('beside another caller 256 writes of one are 8 of a batch, and all of the other are in the first', () => {
  const queue = queueOf(...many('flood', 256), ...many('ada', 4))
  expect(countBy(queue.take(free))).toEqual({ flood: 8, ada: 4 })
  expect(countBy(queue.take(free))).toEqual({ flood: 8 }) // ada was active a moment ago
})

test('of more callers than a batch has places, those that were not served are served next', () => {
  const callers = Array.from({ length: 200 }, (_, n) => `caller ${n}`)
  const queue = queueOf(...callers.flatMap((caller) => many(caller, 2)))
  const [first, second] = [queue.take(free), queue.take(free)]
  expect(first.map(({ caller }) => caller)).toEqual(callers.slice(0, 128))
  expect(new Set(second.map(({ caller }) => caller))).toEqual(
    new Set([...callers.slice(128), ...callers.slice(0, 56)]),
  )
})

test('one write of each key is in a batch, the next waits for the next batch', () => {
  const [first, second] = [write('ada', { key: 'k' }), write('ada', { key: 'k' })]
  const other = write('ada', { key: 'l' })
  const queue = queueOf(first, second, other)
  expect(queue.take(free)).toEqual([first, other])
  expect(queue.take(free)).toEqual([second])
})

test('a write whose task is in flight stays at its place, those behind it are taken', () => {
  const [busy, next] = [write('ada', { holds: ['task'] }), write('ada')]
  const queue = queueOf(busy, next)
  expect(queue.take((held) => held === 'task')).toEqual([next])
  expect(queue.take((held) => held === 'task')).toEqual([])
  expect(queue.waitingOf('ada')).toBe(1)
  expect(queue.take(free)).toEqual([busy])
})

test('a batch ends at a mebibyte of text', () => {
  const queue = queueOf(...many('ada', 100, { bytes: 50_000 }))
  expect(queue.take(free)).toHaveLength(21)
})

test('writes with the key of another are removed together, and only they', () => {
  const equal = many('ada', 3, { key: 'k' })
  const [other, unclaimed] = [write('ada', { key: 'l' }), write('ada')]
  const queue = queueOf(equal[0]!, other, equal[1]!, unclaimed, equal[2]!)
  expect(queue.removeEqual(write('ada', { key: 'm' }))).toEqual([])
  expect(queue.removeEqual(write('ada', { key: 'k' }))).toEqual(equal)
  expect(queue.removeEqual(write('ada'))).toEqual([])
  expect(queue.take(free)).toEqual([other, unclaimed])
  expect(queue.removeEqual(write('ada', { key: 'l' }))).toEqual([])
})

test('what is put back is first, what is removed is never taken', () => {
  const [one, two, three] = [write('ada'), write('ada'), write('ada')]
  const queue = queueOf(one, two, three)
  queue.remove(two)
  queue.remove(two)
  const late = write('ada', { order: 0 })
  queue.putBack(late)
  expect(queue.take(free)).toEqual([late, one, three])
  expect(queue.isEmpty).toBe(true)
})
