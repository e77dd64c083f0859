// A report as Markdown: the facts first, then a table for each section with target, figures and verdict, then what each
// row cost the processes and the generator itself.
import { parts } from '../installation.ts'
import { labelOf, targetText, verdictOf, withUnit, type Row, type RowResult } from '../row.ts'
import { sections } from '../sections/all.ts'
import type { Report } from './report.ts'

const line = (cells: string[]): string => `| ${cells.join(' | ')} |`

const table = (head: string[], rows: string[][]): string =>
  [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')

/** Figures of a row, those with a target first. */
export const figuresText = (row: Row, { figures, against }: RowResult): string => {
  const targeted = row.targets.map(({ figure }) => figure)
  const names = [...new Set([...targeted, ...Object.keys(figures)])].filter((name) => name in figures)
  return names
    .map((name) => {
      const limit = name === 'ratio' && against !== undefined ? ` of \`${against}\`` : ''
      return `${labelOf(name)} ${withUnit(name, figures[name]!)}${limit}`
    })
    .join(', ')
}

const costTable = (costs: readonly RowResult[]): string =>
  [
    '\n## CPU time per request or entry, microseconds\n',
    table(
      ['Row', ...parts, 'all', 'generator, share of a core'],
      costs.map(({ row, cpuUs, generatorCpu }) => [
        `\`${row}\``,
        ...parts.map((part) => String(Math.round(cpuUs![part]))),
        String(Math.round(parts.reduce((sum, part) => sum + cpuUs![part], 0))),
        generatorCpu === undefined ? '-' : generatorCpu.toFixed(2),
      ]),
    ),
  ].join('\n')

export const markdownOf = (report: Report): string => {
  const results = new Map(report.rows.map((row) => [row.row, row]))
  const { machine, settings, plan } = report
  const measured = sections
    .map(({ name, rows }) => ({ name, rows: rows.filter(({ id }) => results.has(id)) }))
    .filter(({ rows }) => rows.length > 0)
  const figures = measured.map(({ name, rows }) =>
    [
      `\n## ${name}\n`,
      table(
        ['Row', 'What', 'Target', 'Figures', 'Verdict', 'Failed'],
        rows.map((row) => {
          const result = results.get(row.id)!
          const notes = result.notes.filter(Boolean).map((note) => `<br>${note}`)
          return [
            `\`${row.id}\``,
            row.title,
            targetText(row) || '-',
            figuresText(row, result) + notes.join(''),
            verdictOf(row, result),
            String(result.failed),
          ]
        }),
      ),
    ].join('\n'),
  )
  const costs = report.rows.filter(({ cpuUs }) => cpuUs)
  return [
    `# Bench of ${report.startedAt.slice(0, 10)}\n`,
    `${machine.cpu}, ${machine.cores} cores shared by load, server, worker, PostgreSQL and Redis, ${machine.memoryGiB} GiB; ${machine.system}; Bun ${machine.bun}; commit ${machine.commit}; load of the machine at the start ${machine.loadAverage}. ${plan.isQuick ? 'A quick run: smaller sizes, rougher figures. ' : ''}Medians of ${plan.rounds} rounds of ${plan.seconds} s, ${Math.round(report.seconds)} s in all.\n`,
    Object.entries(settings)
      .map(([name, value]) => `${name} = ${value}`)
      .join(', ') + '\n',
    ...report.errors.map(({ section, message }) => `**The section ${section} ended early:** ${message}\n`),
    ...figures,
    ...(costs.length > 0 ? [costTable(costs)] : []),
    '',
  ].join('\n')
}
