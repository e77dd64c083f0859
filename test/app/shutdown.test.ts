// The deadlines of a stop: what is inside ends before what is outside, for every accepted DRAIN_DELAY.
import { expect, test } from 'bun:test'
import {
  childDeadlineMs,
  requestsDeadlineMs,
  socketsDeadlineMs,
  supervisorDeadlineMs,
} from '../../src/app/shutdown.ts'
import { readConfig } from '../../src/config.ts'
import { messageOf } from '../../src/errors.ts'

const longestDrainDelayMs = 20_000
const problemsOf = (seconds: number): string => {
  try {
    readConfig({ DRAIN_DELAY: String(seconds) })
    return ''
  } catch (error) {
    return messageOf(error)
  }
}

test('a server closes its sockets and requests within 30 s, its parent waits longer, and a supervisor longest', () => {
  for (const delayMs of [0, 5_000, longestDrainDelayMs]) {
    expect(socketsDeadlineMs(delayMs)).toBeGreaterThan(5_000)
    expect(delayMs + socketsDeadlineMs(delayMs) + requestsDeadlineMs).toBe(29_000)
  }
  expect(childDeadlineMs).toBe(32_000)
  expect(supervisorDeadlineMs).toBe(36_000)
})

test('a longer DRAIN_DELAY than the deadlines allow for is refused', () => {
  expect(problemsOf(longestDrainDelayMs / 1000)).not.toContain('DRAIN_DELAY')
  expect(problemsOf(longestDrainDelayMs / 1000 + 1)).toContain('DRAIN_DELAY')
})
