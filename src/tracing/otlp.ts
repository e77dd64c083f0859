// Sends spans to a collector (OTLP over HTTP, JSON). Loaded only where a collector is set: the SDK takes 70 ms to load.
// Invariants: a process has one SDK, whatever roles it runs; what waits to be sent is bounded, and without a collector
// that answers it is dropped; nothing of the product waits for it.
import { context, diag, DiagLogLevel, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { resourceFromAttributes } from '@opentelemetry/resources'
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace'
import { settledWithin } from '../async/timeout.ts'
import type { Config } from '../config.ts'
import type { Log } from '../log.ts'
import manifest from '../../package.json' with { type: 'json' }

export type TracingConfig = Pick<
  Config,
  'otlpHeaders' | 'otelServiceName' | 'otelAttributes' | 'tracesRatio'
> & {
  otlpEndpoint: string
}

/** Spans that wait to be sent; those beyond are dropped. */
const maxWaiting = 4_096
/** The spans of a transaction of a hundred entries would have as many links. */
const spanLimits = { linkCountLimit: 16, attributeValueLengthLimit: 256 }
const perRequest = 512
const sendEveryMs = 1_000
const sendTimeoutMs = 5_000
/** For what waits when the process stops. */
const closeTimeoutMs = 1_000

/** Records spans of this process from here on. @param role names the service where no setting does. */
export const openTracing = (config: TracingConfig, role: string, log: Log): AsyncDisposable => {
  const lost = (): void =>
    log.warn(
      { oncePerMinute: 'tracing' },
      'spans are lost: the collector at OTEL_EXPORTER_OTLP_ENDPOINT does not answer, refuses them or is too slow',
    )
  const ignore = (): void => {}
  // The texts of the SDK contain headers and stacks; it warns of spans that its queue has no room for.
  diag.setLogger(
    { error: lost, warn: lost, info: ignore, debug: ignore, verbose: ignore },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  )
  const exporter = new OTLPTraceExporter({
    url: `${config.otlpEndpoint.replace(/\/$/, '')}/v1/traces`,
    headers: config.otlpHeaders,
    timeoutMillis: sendTimeoutMs,
    // After a failure the processor starts the next request beside the one that hangs.
    concurrencyLimit: 1,
  })
  const provider = new TracerProvider({
    resource: resourceFromAttributes({
      'service.name': config.otelServiceName ?? (role === 'all' ? 'tasktide' : `tasktide-${role}`),
      'service.version': manifest.version,
      'service.instance.id': crypto.randomUUID(),
      ...config.otelAttributes,
    }),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(config.tracesRatio) }),
    spanLimits,
    spanProcessors: [
      new BatchSpanProcessor({
        exporter,
        maxQueueSize: maxWaiting,
        maxExportBatchSize: perRequest,
        scheduledDelayMillis: sendEveryMs,
        exportTimeoutMillis: sendTimeoutMs,
      }),
    ],
  })
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  trace.setGlobalTracerProvider(provider)
  return {
    async [Symbol.asyncDispose]() {
      await settledWithin(closeTimeoutMs, provider.shutdown().catch(lost))
      trace.disable()
      context.disable()
      diag.disable()
    },
  }
}
