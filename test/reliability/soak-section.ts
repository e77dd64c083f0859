// The result of the soak as Markdown.
import { machineText, markdownTable } from '../chaos/table.ts'
import {
  leastDetected,
  maxSlopeMiBPerHour,
  verdictOf,
  type MemoryFigures,
  type SoakReport,
} from '../soak/report.ts'

const slopeText = ({ slopeMiBPerHour: { estimate, low, high, samples } }: MemoryFigures): string =>
  `${estimate} (${low} to ${high}, ${samples} samples)`

const rounded = (value: number): string => String(Math.round(value * 100) / 100)

const meaning = {
  shown: 'within the limit, the whole interval',
  undecided: 'undecided: the limit is inside the interval',
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
      rounded(leastDetected(figures.slopeMiBPerHour)),
      meaning[verdictOf(figures.slopeMiBPerHour)],
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
    `Memory is measured every 10 s after a garbage collection, with a ring of recent entries and a cache of answers so small that they are full before. The slope is that of Theil and Sen over the second half, without the share that follows the number of compiled functions (their code comes and goes with what is called often), in MiB an hour, with its 95 % interval; that of resident memory (the pages of the process itself, without those of the executable file, which come in as code is first used, and without those of compiled code, which is made as code is called often) is fitted to the least of three samples each. Limit: ${maxSlopeMiBPerHour} MiB an hour. Only an interval that is wholly within it shows that memory does not grow; where the limit is inside the interval, or there are few samples, the run was too short to decide, which is no violation.`,
    '',
    markdownTable(
      [
        'Process',
        'Memory',
        'Before the load, MiB',
        'At half-time, MiB',
        'At the end, MiB',
        'MiB an hour',
        'Least growth that is a violation',
        'Verdict',
      ],
      memory,
    ),
    '',
    `Compiled code, before the load and after it: ${Object.entries(soak.processes)
      .map(([name, { codeMiB }]) => `${name} ${codeMiB.baseline} and ${codeMiB.rest} MiB`)
      .join(', ')}.`,
    '',
    markdownTable(['Held', 'Before the load', 'At most', 'After the load', 'Verdict'], held),
    '',
    `Counted: ${Object.entries(counts)
      .map(([name, count]) => `${count} ${name}`)
      .join(', ')}.`,
    ...soak.violations.map((line) => `\n- **${line}**`),
  ].join('\n')
}
