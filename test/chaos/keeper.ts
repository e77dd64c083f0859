// Keeps results as they come: an error in a later fault or control loses nothing of those before it.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { merged, overSeeds, type ChaosReport } from './results.ts'
import { markdownOf } from './table.ts'

export interface KeeperOptions {
  machine: ChaosReport['machine']
  /** How often each fault runs. */
  seeds: number
  command: string
  /** A folder for the results of this command. */
  folder: string
  /** The file of the rows that are shown, in which each new row takes the place of the older one; null to leave it. */
  shown: string | null
}

const jsonOf = (report: ChaosReport): string => `${JSON.stringify(report, null, 2)}\n`

export class Keeper {
  readonly #rows: ChaosReport['rows'] = []
  readonly #controls: ChaosReport['controls'] = []

  constructor(private readonly options: KeeperOptions) {}

  /** Everything so far, one row for each fault. */
  get report(): ChaosReport {
    return { machine: this.options.machine, rows: overSeeds(this.#rows), controls: this.#controls }
  }

  async add({ rows = [], controls = [] }: Partial<Pick<ChaosReport, 'rows' | 'controls'>>): Promise<void> {
    this.#rows.push(...rows)
    this.#controls.push(...controls)
    const { seeds, command, folder, shown } = this.options
    const { report } = this
    await mkdir(folder, { recursive: true })
    await Bun.write(join(folder, 'chaos.json'), jsonOf(report))
    await Bun.write(join(folder, 'chaos.md'), markdownOf(report, command))
    if (shown === null) return
    const before = Bun.file(shown)
    // A row that lacks seeds would take the place of another kind.
    const complete = { ...report, rows: report.rows.filter((row) => row.seeds.length === seeds) }
    await Bun.write(shown, jsonOf(merged((await before.exists()) ? await before.json() : null, complete)))
  }
}
