// The URL of a process can be called on its own machine, whatever it listens on.
import { expect, test } from 'bun:test'
import { httpUrl } from '../../src/start/http-url.ts'

test.each([
  ['127.0.0.1', 'http://127.0.0.1:3001'],
  ['0.0.0.0', 'http://127.0.0.1:3001'],
  ['::', 'http://[::1]:3001'],
  ['fd00::7', 'http://[fd00::7]:3001'],
  ['worker.internal', 'http://worker.internal:3001'],
])('%s', (host, url) => expect(httpUrl(host, 3001)).toBe(url))
