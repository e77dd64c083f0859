// What a run leaves: the facts, every row with its verdict, and the curves. `report.json` is the report itself; the
// Markdown and the plots are made from it.
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
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

const resultsFolder = join(import.meta.dir, '..', 'results')

/** @param folder null for a new one below bench/results, named by the date; `-2` and so on where there is one. */
export const keepReport = async (report: Report, folder: string | null): Promise<string> => {
  const own = folder ?? nextFolder(report.startedAt.slice(0, 10))
  await mkdir(own, { recursive: true })
  await Bun.write(join(own, 'report.json'), JSON.stringify(report, null, 2))
  await Bun.write(join(own, 'report.md'), markdownOf(report))
  await keepPlots(report, own)
  return own
}

const nextFolder = (date: string): string => {
  const first = join(resultsFolder, date)
  for (let number = 1; ; number += 1) {
    const folder = number === 1 ? first : `${first}-${number}`
    if (!existsSync(folder)) return folder
  }
}

export const keepPlots = async (report: Report, folder: string): Promise<void> => {
  for (const [name, svg] of Object.entries(plotsOf(report))) await Bun.write(join(folder, `${name}.svg`), svg)
}

/** @param path null for the last one. @throws where there is none. */
export const readReport = async (path: string | null): Promise<{ report: Report; folder: string }> => {
  const file = path ?? (await lastReport())
  return { report: (await Bun.file(file).json()) as Report, folder: dirname(file) }
}

const lastReport = async (): Promise<string> => {
  await mkdir(resultsFolder, { recursive: true })
  const found = await Array.fromAsync(
    new Bun.Glob('*/report.json').scan({ cwd: resultsFolder, absolute: true }),
  )
  const last = found.toSorted((a, b) => Bun.file(a).lastModified - Bun.file(b).lastModified).at(-1)
  if (last === undefined) throw new Error('there is no report yet: run `bun run bench` first')
  return last
}
