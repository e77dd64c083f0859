// The plots of a report, by file name. A plot without data is left out.
import { parts } from '../installation.ts'
import { lineChart, rangeChart, stackChart, type LineChart } from './charts.ts'
import type { Report } from './report.ts'

type Described = Omit<LineChart, 'lines'>

/** Curves of sections by plot. */
const curvePlots: Record<string, Described> = {
  'fan-out': {
    title: 'One change to all sockets',
    about:
      'Share of sockets that have received one change, over the milliseconds since the first received it',
    x: { title: 'milliseconds since the first socket received it' },
    y: { title: 'sockets that have received it, %' },
  },
  knee: {
    title: 'From due to socket, open loop: 10 projects, 100 readers',
    about: 'Milliseconds from when a write was due to its arrival at sockets, over the writes per second',
    x: { title: 'writes due per second' },
    y: { title: 'milliseconds (logarithmic)', isLog: true },
    level: { at: 25, name: 'target of the p99: 25 ms' },
  },
  'growth-tasks': {
    title: 'Lists as a project grows: p99',
    about: 'The p99 of three lists over the number of tasks in their project',
    x: { title: 'tasks in the project (logarithmic)', isLog: true },
    y: { title: 'milliseconds' },
  },
  'growth-listeners': {
    title: 'One change as the sockets of a project grow',
    about:
      'Milliseconds from the first to the last socket that received a change, over the number of sockets',
    x: { title: 'sockets (logarithmic)', isLog: true },
    y: { title: 'milliseconds from the first to the last (logarithmic)', isLog: true },
  },
  'growth-backlog': {
    title: 'Coming back after missing entries: replay, past 5,000 a snapshot',
    about:
      'Milliseconds until a socket is live again, over the number of entries it missed; past 5,000 it reads a snapshot',
    x: { title: 'entries missed (logarithmic)', isLog: true },
    y: { title: 'milliseconds until live (logarithmic)', isLog: true },
  },
}

/** Rows whose requests are so few that what processes do by themselves counts more. */
const mostlyIdle = new Set(['create-alone'])

/** Rows in the plots of time, in this order where they were measured. */
const throughputRows = ['create', 'create-one-user', 'patch', 'patch-zipf']

export const plotsOf = ({ rows, curves }: Pick<Report, 'rows' | 'curves'>): Record<string, string> => {
  const plots: Record<string, string> = {}
  const timed = rows.filter(({ latency, failed }) => latency && latency.p50 > 0 && failed >= 0)
  if (timed.length > 0)
    plots['latency'] = rangeChart({
      title: 'Latency under load',
      about: 'Percentiles of the latency of each row',
      unit: 'milliseconds (logarithmic)',
      marks: ['p50', 'p90', 'p99', 'p99.9'],
      rows: timed.map(({ row, latency }) => ({
        name: row,
        values: [latency!.p50, latency!.p90, latency!.p99, latency!.p999],
      })),
    })
  const costed = rows.filter(
    ({ row, cpuUs }) => !mostlyIdle.has(row) && cpuUs && parts.some((part) => cpuUs[part] > 0),
  )
  if (costed.length > 0)
    plots['cpu'] = stackChart({
      title: 'CPU time of one request, all processes',
      about: 'Microseconds of CPU time of server, worker, PostgreSQL and Redis for one request of each row',
      unit: 'microseconds',
      kinds: ['server', 'worker', 'PostgreSQL', 'Redis'],
      rows: costed.map(({ row, cpuUs }) => ({
        name: row,
        values: parts.map((part) => Math.max(0, cpuUs![part])),
      })),
    })
  const series = throughputRows.flatMap((id) =>
    rows.filter(({ row, series }) => row === id && (series?.length ?? 0) > 1),
  )
  if (series.length > 0)
    plots['throughput'] = lineChart({
      title: 'Answers per second while the load runs',
      about: 'Answers of each second of the median round of each row',
      x: { title: 'seconds since the load began' },
      y: { title: 'answers per second' },
      lines: series.map(({ row, series: counts }) => ({
        name: row,
        points: counts!.map((count, second) => [second + 1, count] as [number, number]),
      })),
    })
  for (const [name, described] of Object.entries(curvePlots)) {
    const lines = curves.filter(({ plot, points }) => plot === name && points.length > 1)
    if (lines.length > 0) plots[name] = lineChart({ ...described, lines })
  }
  return plots
}
