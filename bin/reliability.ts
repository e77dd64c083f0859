// Writes docs/reliability.md from the results in reliability/*.json. With `--check` it only compares: exit code 1 where
// they differ.
import { join } from 'node:path'
import { readResults, renderReliability } from '../test/reliability/render.ts'

const path = join(import.meta.dir, '..', 'docs', 'reliability.md')
const text = renderReliability(await readResults())
if (process.argv.includes('--check')) {
  const isCurrent =
    (await Bun.file(path)
      .text()
      .catch(() => '')) === text
  if (!isCurrent)
    console.error('docs/reliability.md differs from reliability/*.json: bun run reliability writes it')
  process.exit(isCurrent ? 0 : 1)
}
await Bun.write(path, text)
