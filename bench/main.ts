// Measures Tasktide against the limits of the machine it runs on, in one run, interleaved in rounds, so that every figure
// is a ratio that outlives the machine. `--help` lists what can be asked for.
import { measureAgainst } from './against.ts'
import { measure } from './run.ts'
import { helpText, readOptions, UsageError, type Options } from './options.ts'
import { markdownOf } from './report/markdown.ts'
import { keepPlots, keepReport, readReport } from './report/report.ts'
import { knownNames, sections } from './sections/all.ts'
import { compareClaims, comparisonText, rowOfClaim, writeClaims } from './claims/compare.ts'
import { readManifest } from './claims/manifest.ts'

const parsed = (): Options | 'help' => {
  try {
    return readOptions(process.argv.slice(2), knownNames)
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    console.error(`${error.message}\n${helpText(sections)}`)
    return process.exit(2)
  }
}

/** Draws the plots of a report again. */
const plots = async ({ from }: Options): Promise<boolean> => {
  const { report, folder } = await readReport(from)
  await keepPlots(report, folder)
  console.log(folder)
  return true
}

/** Measures what the documents claim, or reads it from a report. @returns whether no claim got worse. */
const claims = async (options: Options): Promise<boolean> => {
  const manifest = await readManifest()
  const measured = async () => {
    const only = [...new Set(manifest.claims.map(rowOfClaim))]
    const report = await measure({ ...options, only })
    return { report, folder: await keepReport(report, options.out) }
  }
  const { report, folder } = await (options.from === null ? measured() : readReport(options.from))
  const compared = compareClaims(manifest, report)
  console.log(comparisonText(compared))
  if (options.writes) await writeClaims(manifest, report, folder)
  const isWorse = compared.some(({ verdict }) => verdict === 'worse' || verdict === 'not measured')
  return options.writes || !isWorse
}

/** @returns whether every request succeeded. */
const run = async (options: Options): Promise<boolean> => {
  const report = await (options.against ? measureAgainst(options, options.against) : measure(options))
  const folder = await keepReport(report, options.out)
  console.log(markdownOf(report))
  console.log(`Kept in ${folder}`)
  const failed = report.rows.filter((row) => row.failed > 0)
  for (const row of failed) console.error(`${row.row}: ${row.failed} failed`)
  return failed.length === 0 && report.errors.length === 0
}

const commands = { measure: run, claims, plots }

const options = parsed()
if (options === 'help') {
  console.log(helpText(sections))
  process.exit(0)
}
process.exit((await commands[options.command](options)) ? 0 : 1)
