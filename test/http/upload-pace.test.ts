// How fast a process takes the bodies of uploads.
import { expect, test } from 'bun:test'
import { UploadPace } from '../../src/http/body/upload-pace.ts'

const chunk = 128 * 1024

/** Takes `chunks` for each of `uploads` in turn, and returns how long they paused in all. */
const take = (uploads: number, chunks: number): { pausedMs: number; longestMs: number } => {
  let now = 1_000
  const pace = new UploadPace(() => now)
  using stack = new DisposableStack()
  for (let n = 0; n < uploads; n += 1) stack.use(pace.begin())
  let [pausedMs, longestMs] = [0, 0]
  for (let n = 0; n < uploads * chunks; n += 1) {
    const pause = pace.pauseAfter(chunk)
    pausedMs += pause
    longestMs = Math.max(longestMs, pause)
    now += pause
  }
  return { pausedMs, longestMs }
}

test('a few uploads are spread over the time that 200 MB/s take', () => {
  for (const uploads of [1, 2, 4]) {
    const { pausedMs, longestMs } = take(uploads, 80)
    const wanted = (uploads * 80 * chunk) / 200_000
    expect(pausedMs).toBeGreaterThan(0.95 * wanted)
    expect(pausedMs).toBeLessThanOrEqual(wanted)
    expect(longestMs).toBeLessThan(3)
  }
})

test('many uploads at once are not slowed down, because their bytes would wait in memory', () => {
  expect(take(5, 80)).toEqual({ pausedMs: 0, longestMs: 0 })
})

test('bytes that many took at once do not slow the few that remain', () => {
  const pace = new UploadPace(() => 0)
  const uploads = Array.from({ length: 5 }, () => pace.begin())
  for (let n = 0; n < 1_000; n += 1) pace.pauseAfter(chunk)
  uploads[0]![Symbol.dispose]()
  expect(pace.pauseAfter(chunk) + pace.pauseAfter(chunk)).toBeLessThan(3)
})

test('a slow network is not slowed down', () => {
  let now = 0
  const pace = new UploadPace(() => now)
  using _upload = pace.begin()
  for (let n = 0; n < 80; n += 1) {
    expect(pace.pauseAfter(chunk)).toBe(0)
    now += 2
  }
})
