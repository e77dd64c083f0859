// Preloaded into a process of a chaos run: TIDE_VARIANT names the edits applied to its source on loading, TIDE_FAILPOINT
// the point at which it kills itself, TIDE_FAILPOINT_AFTER how often it passes that point before, TIDE_FAILPOINT_REACHED
// a file that then names it.
import { appendFileSync, rmSync, writeFileSync } from 'node:fs'
import { heapStats } from 'bun:jsc'
import { inspectionFile } from './inspection.ts'
import { fuzzVariants } from '../fuzz/variants.ts'
import { applyEdits } from './edit.ts'
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
        const own = edits.filter((edit) => edit.file === file)
        const contents = applyEdits(await Bun.file(path).text(), own)
        return { contents, loader: path.endsWith('.js') ? 'js' : 'ts' }
      })
    }
  },
})

const place = process.env['TIDE_FAILPOINT']
const reachedFile = process.env['TIDE_FAILPOINT_REACHED']
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
      types: objectTypeCounts,
      compiledFunctions: objectTypeCounts['FunctionCodeBlock'] ?? 0,
    }
    writeFileSync(file, JSON.stringify(facts))
  })
}

Object.assign(globalThis, {
  failpoint(reached: string) {
    if (reached !== place) return
    passes -= 1
    if (passes >= 0) return
    if (reachedFile !== undefined) appendFileSync(reachedFile, `${reached}\n`)
    process.kill(process.pid, 'SIGKILL')
  },
})
