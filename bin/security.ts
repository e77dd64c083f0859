// Runs every test file that docs/security.md names and writes the document's last section from the result, which is kept
// in reliability/security.json. With `--render` it runs nothing. The exit code is 1 where a row's tests do not pass.
import { join } from 'node:path'
import { machineFacts } from '../bench/machine.ts'
import {
  countsByFile,
  filesOf,
  isGood,
  renderSecurity,
  rowsOf,
  type SecurityResult,
} from '../test/security/table.ts'

const root = join(import.meta.dir, '..')
const documentPath = join(root, 'docs', 'security.md')
const resultPath = join(root, 'reliability', 'security.json')

const runTests = async (files: readonly string[]): Promise<SecurityResult> => {
  const machine = machineFacts()
  const child = Bun.spawn([process.execPath, join(root, 'bin', 'test.ts'), ...files], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, TASKTIDE_LAUNCHER: String(process.pid) }, // the tests end with this process
  })
  let output = ''
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    process.stdout.write(text)
    output += text
  }
  await child.exited
  return {
    date: new Date().toISOString(),
    commit: machine.commit,
    machine,
    files: Object.fromEntries(
      Object.entries(countsByFile(output)).toSorted(([one], [other]) => (one < other ? -1 : 1)),
    ),
  }
}

const document = await Bun.file(documentPath).text()
const rows = rowsOf(document)
const kept = Bun.file(resultPath)
const result: SecurityResult = process.argv.includes('--render')
  ? await kept.json()
  : await runTests([...new Set(rows.flatMap(filesOf))].toSorted())
await Bun.write(resultPath, `${JSON.stringify(result, null, 2)}\n`)
await Bun.write(documentPath, renderSecurity(document, result))
process.exit(isGood(rows, result) ? 0 : 1)
