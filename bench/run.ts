// One run: the sections that are wanted, one after the other, on installations that are opened when they are needed.
import type { Context, Curve } from './context.ts'
import { startGenerator } from './load/generator.ts'
import { databaseSettings, machineFacts } from './machine.ts'
import { benchEnvironment, startInstallation } from './installation.ts'
import type { Options } from './options.ts'
import { planOf } from './plan.ts'
import type { Report } from './report/report.ts'
import type { RowResult } from './row.ts'
import { groups, sections } from './sections/all.ts'
import { openWorkbench, type Workbench } from './workbench.ts'

const startedAt = performance.now()

/** Progress, on standard error. */
export const report = (line: string): void => {
  console.error(`${((performance.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${line}`)
}

export const measure = async ({
  only,
  isQuick,
  rounds,
  hasCurves,
}: Pick<Options, 'only' | 'isQuick' | 'rounds' | 'hasCurves'>): Promise<Report> => {
  await using stack = new AsyncDisposableStack()
  const began = performance.now()
  const at = new Date().toISOString()
  const machine = machineFacts()
  const results: RowResult[] = []
  const curves: Curve[] = []
  const errors: Report['errors'] = []
  const opened: Promise<Workbench>[] = []
  const { BUN_OPTIONS: _, ...environment } = benchEnvironment
  let settings: Report['settings'] = environment
  const wanted = new Set(only.flatMap((name) => groups[name] ?? [name]))
  const isWanted = (row: string): boolean => {
    const section = sections.find(({ rows }) => rows.some(({ id }) => id === row))
    return wanted.size === 0 || wanted.has(row) || wanted.has(section?.name ?? '')
  }
  const context: Context = {
    plan: planOf(isQuick, rounds),
    generator: stack.use(startGenerator()),
    report,
    hasCurves,
    install: async (options = {}) => {
      const cluster = await startInstallation({ report, ...options })
      settings = { ...(await databaseSettings(cluster.databaseUrl)), ...environment }
      return cluster
    },
    workbench: () => opened[0] ?? (opened[0] = openWorkbench(context).then((bench) => stack.use(bench))),
    wants: (...rows) => rows.some(isWanted),
    isNamed: (...names) => names.some((name) => wanted.has(name)),
    add: (result) => void results.push(result),
    result: (row) => results.find((result) => result.row === row),
    curve: (curve) => void curves.push(curve),
  }
  for (const section of sections) {
    const rows = section.rows.map(({ id }) => id)
    const isLeftOut = section.isLong && isQuick && !context.isNamed(section.name, ...rows)
    if (isLeftOut || !context.wants(...rows)) continue
    report(`section ${section.name}`)
    // What other sections found is kept; the run fails all the same.
    await section.run(context).catch((error: unknown) => {
      const message = error instanceof Error ? error.message : String(error)
      report(`section ${section.name} failed: ${message}`)
      errors.push({ section: section.name, message })
    })
  }
  return {
    startedAt: at,
    seconds: (performance.now() - began) / 1000,
    machine,
    settings,
    plan: context.plan,
    rows: results,
    curves,
    errors,
  }
}
