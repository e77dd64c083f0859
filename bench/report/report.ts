// What a run leaves: the facts, every row with its verdict, and the curves. `report.json` is the report itself; the
// Markdown and the plots are made from it.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Curve } from '../context.ts'
import type { Facts } from '../machine.ts'
import type { Plan } from '../plan.ts'
import type { RowResult } from '../row.ts'
import { markdownOf } from './markdown.ts'
import { plotsOf } from './plots.ts'

export interface Report extends Facts {
  startedAt: string
  seconds: number
  plan: Plan
  rows: RowResult[]
  curves: Curve[]
  /** Sections that ended early. */
  errors: { section: string; message: string }[]
}

export const resultsFolder = join(import.meta.dir, '..', 'results')

/** Writes report.json, report.md and the plots below a folder named by the date. @returns the folder. */
export const keepReport = async (report: Report): Promise<string> => {
  const folder = join(resultsFolder, report.startedAt.slice(0, 10))
  await mkdir(folder, { recursive: true })
  await Bun.write(join(folder, 'report.json'), JSON.stringify(report, null, 2))
  await Bun.write(join(folder, 'report.md'), markdownOf(report))
  await keepPlots(report, folder)
  return folder
}

export const keepPlots = async (report: Report, folder: string): Promise<void> => {
  for (const [name, svg] of Object.entries(plotsOf(report))) await Bun.write(join(folder, `${name}.svg`), svg)
}

/** @param path null for the last one. @throws where there is none. */
export const readReport = async (path: string | null): Promise<Report> => {
  const file = path ?? (await lastReport())
  return (await Bun.file(file).json()) as Report
}

const lastReport = async (): Promise<string> => {
  await mkdir(resultsFolder, { recursive: true })
  const found = await Array.fromAsync(
    new Bun.Glob('*/report.json').scan({ cwd: resultsFolder, absolute: true }),
  )
  const last = found.toSorted((a, b) => (a < b ? -1 : 1)).at(-1)
  if (last === undefined) throw new Error('there is no report yet: run `bun run bench` first')
  return last
}
