// The table of metrics, its document, and how the metrics of processes become one.
import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { MetricsOfProcesses } from '../../src/app/metrics-exchange.ts'
import { Registry } from 'prom-client'
import { aggregated, createExposition, metricsType, type MetricsJson } from '../../src/metrics/exposition.ts'
import { Histogram } from '../../src/metrics/histogram.ts'
import type { MetricDefinition } from '../../src/metrics/metric-definition.ts'
import { metrics } from '../../src/metrics/names.ts'
import { RouteMeters } from '../../src/http/route-meters.ts'

test('docs/metrics.md lists every metric as the program has it', async () => {
  const text = await Bun.file(join(import.meta.dir, '..', '..', 'docs', 'metrics.md')).text()
  const rows = text.split('\n').filter((line) => /^\| `(?:tasktide|process)_/.test(line))
  const list = (labels: readonly string[]) => labels.map((label) => `\`${label}\``).join(', ') || 'none'
  expect(rows).toEqual(
    Object.entries(metrics).map(
      ([name, { type, labels, role, help }]: [string, MetricDefinition]) =>
        `| \`${name}\` | ${type} | ${list(labels)} | ${role} | ${help} |`,
    ),
  )
})

test('the content type is that of the text that prom-client writes', () => {
  expect(metricsType).toBe(Registry.PROMETHEUS_CONTENT_TYPE)
})

test('names follow the conventions of Prometheus', () => {
  for (const [name, { type }] of Object.entries(metrics)) {
    expect(name).toMatch(/^(?:tasktide|process)_[a-z_]+$/)
    if (name !== 'tasktide_build_info')
      expect([name, name.endsWith('_total')]).toEqual([name, type === 'counter'])
    if (type === 'histogram') expect(name).toEndWith('_seconds')
  }
})

test('a histogram counts a value in every bucket from its bound up', async () => {
  const histogram = new Histogram([1, 2.5])
  for (const value of [0.5, 1, 2, 9]) histogram.record(value)
  const text = await createExposition({ tasktide_overdue_lateness_seconds: () => histogram }).text()
  expect(text.split('\n').filter((line) => line.startsWith('tasktide'))).toEqual([
    'tasktide_overdue_lateness_seconds_bucket{le="1"} 2',
    'tasktide_overdue_lateness_seconds_bucket{le="2.5"} 3',
    'tasktide_overdue_lateness_seconds_bucket{le="+Inf"} 4',
    'tasktide_overdue_lateness_seconds_sum 12.5',
    'tasktide_overdue_lateness_seconds_count 4',
  ])
})

test('requests without a route share one series, whatever their path', async () => {
  const meters = new RouteMeters()
  const route = meters.of('GET', '/api/tasks/:id')
  route.record(200, 3)
  route.record(404, 1)
  for (let n = 0; n < 100; n += 1) meters.unknown.record(404, 1)
  expect(meters.samples().map(({ labels }) => labels)).toEqual([
    { method: 'any', route: 'unknown', status: '4xx' },
    { method: 'GET', route: '/api/tasks/:id', status: '2xx' },
    { method: 'GET', route: '/api/tasks/:id', status: '4xx' },
  ])
})

/** A process that has counted `parked`, with so many `sockets` open and so far behind. */
const processOf = (parked: number, sockets: number, lag: number): Promise<MetricsJson> =>
  createExposition({
    tasktide_sockets_parked_total: () => parked,
    tasktide_sockets: () => sockets,
    tasktide_feed_lag_entries: () => [{ labels: { shard: 3 }, value: lag }],
  }).json()

const valuesIn = (text: string): string[] => text.split('\n').filter((line) => line.startsWith('tasktide'))

test('processes add up: counters and open things by sum, lag by its maximum', async () => {
  const text = await aggregated([await processOf(2, 10, 7), await processOf(3, 20, 5)])
  expect(valuesIn(text)).toEqual([
    'tasktide_sockets_parked_total 5',
    'tasktide_sockets 30',
    'tasktide_feed_lag_entries{shard="3"} 7',
  ])
})

test('what an ended process had counted stays in the sum, what it had open does not', async () => {
  const running = new Map<number, MetricsJson | null>([
    [1, await processOf(2, 10, 0)],
    [2, await processOf(3, 20, 0)],
  ])
  const all = new MetricsOfProcesses(() =>
    [...running].map(([number, json]) => [number, Promise.resolve(json)]),
  )
  expect(valuesIn(await all.text())).toContain('tasktide_sockets_parked_total 5')
  running.set(2, null) // it does not answer: its counters stay as they were
  expect(valuesIn(await all.text())).toEqual(
    expect.arrayContaining(['tasktide_sockets_parked_total 5', 'tasktide_sockets 10']),
  )
  await all.end(2)
  running.set(2, await processOf(1, 1, 0)) // started again
  expect(valuesIn(await all.text())).toEqual(
    expect.arrayContaining(['tasktide_sockets_parked_total 6', 'tasktide_sockets 11']),
  )
})

test('the dashboard and the alert rules name metrics and labels that exist', async () => {
  const folder = join(import.meta.dir, '..', '..', 'deploy', 'grafana')
  const known = new Set<string>(
    Object.entries(metrics).flatMap(([name, { type }]) =>
      type === 'histogram' ? ['bucket', 'count', 'sum'].map((part) => `${name}_${part}`) : [name],
    ),
  )
  for (const file of ['dashboard.json', 'alerts.yaml']) {
    const text = await Bun.file(join(folder, file)).text()
    const named = text.match(/\b(?:tasktide|process)_[a-z_]+/g)!
    expect(named.length).toBeGreaterThan(10)
    expect([...new Set(named)].filter((name) => !known.has(name))).toEqual([])
  }
})
