// The checks before a commit besides the tests: format, lint, types, that sql/schema.sql equals the result of the
// migrations (`--write-schema` rewrites it), and that packages/client/api.md is the client's public API. Arguments select steps by name, without any all run. Every selected step
// runs; the exit code is 1 when one of them failed and 2 for a name that is none.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { urlOf } from '../dev/databases.ts'
import { startPostgres } from '../dev/postgres.ts'

type Environment = Record<string, string | undefined>

const stepTimeoutMs = 300_000

const run = async (args: string[], env: Environment = process.env): Promise<boolean> => {
  const child = Bun.spawn([process.execPath, ...args], {
    env,
    stdio: ['ignore', 'inherit', 'inherit'],
    timeout: stepTimeoutMs,
  })
  return (await child.exited) === 0
}

const schemaIsCurrent = async (): Promise<boolean> => {
  const dataDir = mkdtempSync(join(tmpdir(), 'tide-check-'))
  await using stack = new AsyncDisposableStack()
  stack.defer(() => rmSync(dataDir, { recursive: true, force: true }))
  const postgres = stack.use(await startPostgres({ dataDir, durable: false }))
  const env = { ...process.env, DATABASE_URL: urlOf(postgres.url, 'tasktide'), LOG_LEVEL: 'warn' }
  if (!(await run(['src/main.ts', 'migrate'], env))) return false
  // Awaited here, or the server would be stopped under it.
  const compare = process.argv.includes('--write-schema') ? [] : ['--check']
  return await run(['src/main.ts', 'migrate', 'dump', ...compare], env)
}

const steps: [string, () => Promise<boolean>][] = [
  ['format', () => run(['node_modules/oxfmt/bin/oxfmt', '--check'])],
  ['lint', () => run(['node_modules/oxlint/bin/oxlint', '--type-aware'])],
  ['types', () => run(['node_modules/typescript/bin/tsc', '--noEmit'])],
  ['schema', schemaIsCurrent],
  ['client-api', () => run(['bin/client-api.ts'])],
]

const names = process.argv.slice(2).filter((argument) => !argument.startsWith('--'))
const unknown = names.filter((name) => !steps.some(([known]) => known === name))
if (unknown.length > 0) {
  console.error(`no check named ${unknown.join(', ')}: ${steps.map(([name]) => name).join(', ')}`)
  process.exit(2)
}
const selected = names.length === 0 ? steps : steps.filter(([name]) => names.includes(name))

const failed: string[] = []
for (const [name, step] of selected) {
  console.log(`\n— ${name}`)
  if (!(await step())) failed.push(name)
}
console.log(failed.length === 0 ? '\nAll checks passed.' : `\nFailed: ${failed.join(', ')}`)
process.exit(failed.length === 0 ? 0 : 1)
