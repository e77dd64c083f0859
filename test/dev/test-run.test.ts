// The totals of a test run: nothing that went wrong may read as success.
import { expect, test } from 'bun:test'
import { countsOf } from '../../dev/test-run.ts'

const summary = (pass: number, fail: number, errors = 0) =>
  ` ${pass} pass\n ${fail} fail\n${errors ? ` ${errors} error${errors > 1 ? 's' : ''}\n` : ''}Ran ${pass + fail} tests across 1 file.`

test.each([
  ['all green', summary(3, 0), 0, { passed: 3, failed: 0 }],
  ['one red', summary(3, 1), 1, { passed: 3, failed: 1 }],
  ['a file that does not load', summary(3, 2, 2), 1, { passed: 3, failed: 2 }],
  ['red only by its exit code', summary(3, 0), 1, { passed: 3, failed: 1 }],
  ['a run that ended without a summary', '(pass) quits', 0, { passed: 0, failed: 1 }],
  ['no test at all', 'The following filters did not match any test files', 1, { passed: 0, failed: 1 }],
  ['colours', '\u001B[32m 3 pass\u001B[0m\n\u001B[31m 1 fail\u001B[0m', 1, { passed: 3, failed: 1 }],
])('%s', (_, output, exitCode, counts) => {
  expect(countsOf(output, exitCode)).toEqual(counts)
})
