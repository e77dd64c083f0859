// New lines among those of several logs.
import { expect, test } from 'bun:test'
import { addedLines, unhandled } from './log-lines.ts'

test('a new line of an earlier log is found', () => {
  expect(addedLines(['b 1', 'c 1'], ['a 1', 'b 1', 'b 2', 'c 1'])).toEqual(['a 1', 'b 2'])
})

test('a line that comes again is new', () => {
  expect(addedLines(['a'], ['a', 'a'])).toEqual(['a'])
})

test('lines of uncaught errors and unhandled rejections are recognised, others are not', () => {
  expect(unhandled(['{"msg":"unhandled promise rejection"}', '{"msg":"push failed"}'])).toHaveLength(1)
})
