// The result of the soak as Markdown.
import { machineText, markdownTable } from '../chaos/table.ts'
import { maxSlopeMiBPerHour, type MemoryFigures, type SoakReport } from '../soak/report.ts'

const slopeText = ({ slopeMiBPerHour: { estimate, low, high, samples } }: MemoryFigures): string =>
  `${estimate} (${low} to ${high}, ${samples} samples)`

const meaning = {
  shown: 'within the limit, the whole interval',
  ok: 'estimate within the limit; the interval reaches beyond it',
  undecided: 'estimate beyond the limit; the interval includes it',
  violated: 'VIOLATED',
} as const

export const soakSection = (soak: SoakReport): string => {
  const { machine, cpu, connections, counts } = soak
  const memory = Object.entries(soak.processes).flatMap(([name, { heap, resident }]) =>
    Object.entries({ 'JavaScript heap': heap, 'resident memory': resident }).map(([what, figures]) => [
      name,
      what,
      String(figures.baselineMiB),
      String(figures.fromMiB),
      String(figures.toMiB),
      slopeText(figures),
      meaning[figures.verdict],
    ]),
  )
  const held = [
    ...Object.entries(soak.processes).map(([name, { handles }]) => ({
      what: `handles of ${name}`,
      ...handles,
    })),
    ...Object.entries(connections).map(([name, three]) => ({ what: `connections to ${name}`, ...three })),
  ].map(({ what, baseline, most, rest }) => [
    what,
    String(baseline),
    String(most),
    String(rest),
    rest <= baseline ? 'ok' : 'VIOLATED',
  ])
  return [
    `${soak.date.slice(0, 16)}, commit ${soak.commit}, seed ${soak.seed}: ${soak.minutes} minutes, ${soak.requestsPerSecond} requests a second beside sockets, uploads, mails and workers. ${machineText(machine)}. The processes of the soak, its generator and its databases used ${Math.round(cpu.own * 100)} % of all cores; the whole machine was busy to ${Math.round(cpu.machine * 100)} %.`,
    '',
    `Memory is measured every 10 s after a garbage collection, with a ring of recent entries and a cache of answers so small that they are full before. The slope is that of Theil and Sen over the second half, without the share that follows the number of compiled functions (their code comes and goes with what is called often), in MiB an hour, with its 95 % interval; that of resident memory (the pages of the process itself, without those of the executable file, which come in as code is first used) is fitted to the least of three samples each. Limit: ${maxSlopeMiBPerHour} MiB an hour.`,
    '',
    markdownTable(
      [
        'Process',
        'Memory',
        'Before the load, MiB',
        'At half-time, MiB',
        'At the end, MiB',
        'MiB an hour',
        'Verdict',
      ],
      memory,
    ),
    '',
    markdownTable(['Held', 'Before the load', 'At most', 'After the load', 'Verdict'], held),
    '',
    `Counted: ${Object.entries(counts)
      .map(([name, count]) => `${count} ${name}`)
      .join(', ')}.`,
    ...soak.violations.map((line) => `\n- **${line}**`),
  ].join('\n')
}
