// Preloaded into a process of a chaos run: TIDE_VARIANT names the edits applied to its source on loading, TIDE_FAILPOINT
// the point at which it kills itself, TIDE_FAILPOINT_AFTER how often it passes that point before.
import { rmSync, writeFileSync } from 'node:fs'
import { heapStats } from 'bun:jsc'
import { inspectionFile } from './inspection.ts'
import { fuzzVariants } from '../fuzz/variants.ts'
import { pathOf, variants } from './variants.ts'

const name = process.env['TIDE_VARIANT'] ?? ''
const edits = variants[name] ?? fuzzVariants[name]
if (!edits) throw new Error(`there is no variant ${name}`)

Bun.plugin({
  name,
  setup(build) {
    for (const file of new Set(edits.map((edit) => edit.file))) {
      const path = pathOf({ file })
      const filter = new RegExp(`${path.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`)
      build.onLoad({ filter }, async () => {
        let contents = await Bun.file(path).text()
        for (const edit of edits.filter((one) => one.file === file)) {
          if (contents.split(edit.from).length !== 2)
            throw new Error(`the variant ${name} does not fit ${file} any more: ${edit.from}`)
          contents = contents.replace(edit.from, () => edit.to)
        }
        return { contents, loader: path.endsWith('.js') ? 'js' : 'ts' }
      })
    }
  },
})

const place = process.env['TIDE_FAILPOINT']
let passes = Number(process.env['TIDE_FAILPOINT_AFTER'] ?? 0)

if (name === 'inspected') {
  const file = inspectionFile(process.pid)
  process.on('exit', () => rmSync(file, { force: true }))
  process.on('SIGUSR2', () => {
    Bun.gc(true)
    const held: unknown = Reflect.get(globalThis, 'held') // of a server
    const { heapSize, objectCount, objectTypeCounts } = heapStats()
    const facts = {
      ...(typeof held === 'function' && held()),
      at: Date.now(),
      heapBytes: heapSize,
      residentBytes: process.memoryUsage.rss(),
      objects: objectCount,
      compiledFunctions: objectTypeCounts['FunctionCodeBlock'] ?? 0,
    }
    writeFileSync(file, JSON.stringify(facts))
  })
}

Object.assign(globalThis, {
  failpoint(reached: string) {
    if (reached !== place) return
    passes -= 1
    if (passes < 0) process.kill(process.pid, 'SIGKILL')
  },
})
