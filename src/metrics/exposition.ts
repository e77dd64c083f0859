// The registry of a process. Parts keep counters in plain numbers; a scrape reads them into prom-client, which the first
// scrape loads, so that counting costs one addition.
import type { Registry } from 'prom-client'
import { OnFirstUse } from '../async/on-first-use.ts'
import { Histogram } from './histogram.ts'
import type { MetricDefinition } from './metric-definition.ts'
import { metrics, type MetricName } from './names.ts'

/** One value with its labels. */
export interface Sample {
  labels?: Record<string, string | number>
  value: number | Histogram
}

/** Reads a metric now; a number stands for one sample without labels. */
export type Source = () => number | Histogram | Iterable<Sample>

/** Everything a process exposes, as JSON that can cross a process boundary. */
export type MetricsJson = { type: string }[]

export interface Exposition {
  /** In the text format of Prometheus. */
  readonly text: () => Promise<string>
  readonly json: () => Promise<MetricsJson>
}

/** `Registry.PROMETHEUS_CONTENT_TYPE` of prom-client. */
export const metricsType = 'text/plain; version=0.0.4; charset=utf-8'

export const createExposition = (sources: Partial<Record<MetricName, Source>>): Exposition => {
  const registry = new OnFirstUse(async () => {
    const { Registry } = await import('prom-client')
    const made = new Registry()
    for (const [name, source] of Object.entries(sources)) {
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the keys of `sources` are names of metrics
      made.registerMetric(folded(name as MetricName, source) as never)
    }
    return made
  })
  return {
    text: async () => (await registry.get()).metrics(),
    json: async () => jsonOf(await registry.get()),
  }
}

const jsonOf = async (registry: Registry): Promise<MetricsJson> =>
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the library types `type` as a number, it is a word
  (await registry.getMetricsAsJSON()) as unknown as MetricsJson

const sumOf = async (ofProcesses: readonly MetricsJson[]): Promise<Registry> => {
  const { AggregatorRegistry } = await import('prom-client')
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- its type says one list, it takes several
  return AggregatorRegistry.aggregate([...ofProcesses] as never)
}

/** The metrics of several processes as those of one: sums, for some gauges the greatest value. */
export const aggregated = async (ofProcesses: readonly MetricsJson[]): Promise<string> =>
  (await sumOf(ofProcesses)).metrics()

/** The same, to be aggregated with others. */
export const added = async (ofProcesses: readonly MetricsJson[]): Promise<MetricsJson> =>
  jsonOf(await sumOf(ofProcesses))

/** What only grows: what counted stays counted when its process ends. */
export const countersIn = (json: MetricsJson): MetricsJson => json.filter(({ type }) => type !== 'gauge')

interface Value {
  labels: Record<string, string | number>
  value: number
  metricName?: string
}

/** What prom-client takes for a metric: it reads the source at each `get`. */
const folded = (name: MetricName, source: Source) => {
  const { type, help, aggregator = 'sum' }: MetricDefinition = metrics[name]
  return {
    name,
    help,
    type,
    aggregator,
    get: () => ({
      name,
      help,
      type,
      aggregator,
      values: [...samplesOf(source())].flatMap((one) => valuesOf(name, one)),
    }),
  }
}

const samplesOf = (read: ReturnType<Source>): Iterable<Sample> =>
  typeof read === 'number' || read instanceof Histogram ? [{ value: read }] : read

const valuesOf = (name: string, { labels = {}, value }: Sample): Value[] => {
  if (!(value instanceof Histogram)) return [{ labels, value }]
  const { bounds, count, sum } = value
  const buckets = value.cumulative().map((value, index) => ({
    labels: { ...labels, le: bounds[index]! },
    value,
    metricName: `${name}_bucket`,
  }))
  return [
    ...buckets,
    { labels: { ...labels, le: '+Inf' }, value: count, metricName: `${name}_bucket` },
    { labels, value: sum, metricName: `${name}_sum` },
    { labels, value: count, metricName: `${name}_count` },
  ]
}
