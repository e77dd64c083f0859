// `bench` runs the benchmark of the source and ends as it does. test/start/executable.test.ts has what it says without one.
import { expect, test } from 'bun:test'
import { runProgram } from '../support/program.ts'

test('it passes its arguments on', async () => {
  const { code, stdout, stderr } = await runProgram(['bench', '--help'], {})
  expect(code).toBe(0)
  expect(`${stdout}${stderr}`).toContain('--against')
})

test('its exit code is that of the benchmark', async () => {
  const { code, stderr } = await runProgram(['bench', '--no-such-option'], {})
  expect(code).toBe(2)
  expect(stderr).toContain('--no-such-option')
})
