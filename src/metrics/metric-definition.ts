// What a metric is, and how those of several processes become one.

export interface MetricDefinition {
  type: 'counter' | 'gauge' | 'histogram'
  help: string
  labels: readonly string[]
  /** `every`: server and worker. */
  role: 'server' | 'worker' | 'every'
  /** How the values of several server processes become one (sum). */
  aggregator?: 'sum' | 'max' | 'min'
}
