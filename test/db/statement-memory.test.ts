// What the driver keeps of a prepared statement on each connection, with the patch of this repository: its text once and
// flat, instead of the parts it was concatenated from (123 strings for the statements of the child).
import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { testDatabase } from '../support/environment.ts'

const maxStrings = 20

test('a prepared statement is kept without the parts of its text', async () => {
  await using database = await testDatabase()
  const child = Bun.spawn(
    [process.execPath, join(import.meta.dir, 'statement-memory-child.ts'), database.url],
    { stdout: 'pipe', stderr: 'inherit', timeout: 50_000 },
  )
  const perStatement = Number(await new Response(child.stdout).text())
  expect(await child.exited).toBe(0)
  console.log(`${perStatement} strings for each statement of each connection`)
  expect(perStatement).toBeGreaterThan(1)
  expect(perStatement).toBeLessThan(maxStrings)
}, 60_000)
