// deploy/kubernetes against the program: settings that exist and production accepts, probes at the ports of each role, stops
// within the deadlines of the program, and autoscaling by metrics that the role has.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { supervisorDeadlineMs } from '../src/app/shutdown.ts'
import { readConfig, secretSettings, settingNames } from '../src/config.ts'
import { metrics } from '../src/metrics/names.ts'

interface Labels {
  matchLabels: Record<string, string>
}

interface Probe {
  httpGet: { path: string; port: string }
  periodSeconds: number
  timeoutSeconds?: number
  failureThreshold: number
}

interface Container {
  image: string
  args: string[]
  envFrom: { configMapRef: { name: string } }[]
  ports?: { name: string; containerPort: number }[]
  livenessProbe: Probe
  readinessProbe: Probe
  startupProbe: Probe
  securityContext: Record<string, unknown>
  resources: { limits: { memory: string } }
  volumeMounts: { name: string; mountPath: string; readOnly?: boolean }[]
}

interface Manifest {
  kind: string
  metadata: { name: string; labels?: Record<string, string> }
  data: Record<string, string>
  resources: string[]
  images: { name: string }[]
  spec: {
    replicas?: number
    selector: Labels
    template: {
      metadata: { labels: Record<string, string>; annotations?: Record<string, string> }
      spec: {
        terminationGracePeriodSeconds: number
        containers: [Container]
        securityContext: Record<string, unknown>
        volumes: { name: string; secret?: { secretName: string } }[]
      }
    }
    maxUnavailable: number
    minReplicas: number
    scaleTargetRef: { name: string }
    metrics: { type: string; pods?: { metric: { name: string }; target: { averageValue: string } } }[]
  }
}

const folder = join(import.meta.dir, '..', 'deploy', 'kubernetes')

const read = async (name: string): Promise<Manifest[]> => {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the tests check what they use
  return [Bun.YAML.parse(await Bun.file(join(folder, name)).text())].flat() as Manifest[]
}

const [kustomization] = await read('kustomization.yaml')
const manifests = (await Promise.all(kustomization!.resources.map(read))).flat()
const readme = await Bun.file(join(folder, 'README.md')).text()

const of = (kind: string): Manifest[] => manifests.filter((one) => one.kind === kind)
const containerOf = ({ spec }: Manifest): Container => spec.template.spec.containers[0]
const settings = of('ConfigMap')[0]!.data
const deployments = of('Deployment')
const roleOf = (deployment: Manifest): string => containerOf(deployment).args[0]!

let secrets: string
beforeAll(async () => {
  secrets = join(await mkdtemp(join(tmpdir(), 'tide-kubernetes-')), 'secrets')
  await mkdir(secrets)
  const values = {
    database_url: 'postgres://tasktide:password@postgres:5432/tasktide',
    redis_url: 'rediss://:password@redis:6379',
    jwt_secrets: `k1:${Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('hex')}`,
    s3_secret_key: 'password',
  }
  for (const [name, value] of Object.entries(values)) await Bun.write(join(secrets, name), value)
})
afterAll(() => rm(join(secrets, '..'), { recursive: true, force: true }))

test('it installs a migration, servers and workers, each of one image', () => {
  expect(of('Job').map((job) => containerOf(job).args)).toEqual([['migrate']])
  expect(deployments.map(roleOf)).toEqual(['server', 'worker'])
  const images = [...of('Job'), ...deployments].map((one) => containerOf(one).image)
  expect(images).toEqual(images.map(() => kustomization!.images[0]!.name))
})

test('its settings exist, production accepts them, and secrets are files of the Secret that README.md creates', () => {
  expect(Object.keys(settings).filter((name) => !settingNames.includes(name))).toEqual([])
  expect(Object.keys(settings).filter((name) => secretSettings.includes(name))).toEqual([])
  const mounted = '/run/secrets/tasktide'
  const keys = Object.entries(settings).flatMap(([name, value]) =>
    name.endsWith('_FILE') ? value.slice(mounted.length + 1) : [],
  )
  expect([...readme.matchAll(/--from-file=(\w+)/g)].map(([, key]) => key!)).toEqual(keys)
  const here = Object.entries(settings).map(([name, value]) => [name, value.replace(mounted, secrets)])
  expect(readConfig(Object.fromEntries(here))).toMatchObject({
    env: 'production',
    metricsPort: 9464,
    workerPort: 3001,
  })
  for (const one of [...of('Job'), ...deployments]) {
    const { envFrom, volumeMounts } = containerOf(one)
    expect(envFrom).toEqual([{ configMapRef: { name: of('ConfigMap')[0]!.metadata.name } }])
    const { volumes } = one.spec.template.spec
    const mount = volumeMounts.find(({ mountPath }) => mountPath === mounted)!
    expect(mount.readOnly).toBe(true)
    expect(volumes.find(({ name }) => name === mount.name)!.secret).toEqual({ secretName: 'tasktide' })
    expect(readme).toContain('kubectl create secret generic tasktide ')
    for (const { name } of volumeMounts) expect(volumes.map((volume) => volume.name)).toContain(name)
  }
})

test('a process that lives is not restarted, and one that is not ready gets no request', () => {
  const ports = { server: 3000, worker: Number(settings['WORKER_PORT']) }
  for (const deployment of deployments) {
    const { livenessProbe, readinessProbe, startupProbe, ports: named } = containerOf(deployment)
    const paths = [startupProbe, livenessProbe, readinessProbe].map(({ httpGet }) => httpGet.path)
    expect(paths).toEqual(['/livez', '/livez', '/readyz'])
    for (const { httpGet } of [livenessProbe, readinessProbe, startupProbe]) {
      const port = named!.find(({ name }) => name === httpGet.port)
      expect(port?.containerPort).toBe(ports[roleOf(deployment) === 'server' ? 'server' : 'worker'])
    }
  }
  const [service] = of('Service')
  expect<object>(service!.spec.selector).toEqual(deployments[0]!.spec.selector.matchLabels)
})

test('a pod has the time that an orderly stop takes, runs as an ordinary user and writes where it may', () => {
  for (const one of [...of('Job'), ...deployments]) {
    const { terminationGracePeriodSeconds, securityContext } = one.spec.template.spec
    expect(terminationGracePeriodSeconds * 1_000).toBeGreaterThan(supervisorDeadlineMs)
    expect(securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: 1000 })
    const { securityContext: own, resources } = containerOf(one)
    expect(own).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    })
    expect(resources.limits.memory).toMatch(/^\d+Mi$/)
  }
})

test('Prometheus is sent to the internal ports', () => {
  const ports = deployments.map(({ spec }) => spec.template.metadata.annotations!['prometheus.io/port'])
  expect(ports).toEqual([settings['METRICS_PORT']!, settings['WORKER_PORT']!])
  expect(settings['INTERNAL_HOST']).toBe('0.0.0.0')
})

test('at most one pod is taken away at a time, and each role grows by a metric that it has', () => {
  const budgets = of('PodDisruptionBudget')
  expect(budgets.map(({ spec }) => spec.maxUnavailable)).toEqual([1, 1])
  const scalers = of('HorizontalPodAutoscaler')
  for (const [index, deployment] of deployments.entries()) {
    const { matchLabels } = deployment.spec.selector
    expect(deployment.spec.template.metadata.labels).toEqual(matchLabels)
    expect(budgets[index]!.spec.selector.matchLabels).toEqual(matchLabels)
    expect(deployment.spec.replicas).toBeUndefined() // it would undo what the autoscaler chose
    const { scaleTargetRef, minReplicas, metrics: by } = scalers[index]!.spec
    expect([scaleTargetRef.name, minReplicas]).toEqual([deployment.metadata.name, 2])
    const { metric } = by.find(({ type }) => type === 'Pods')!.pods!
    const known = Object.entries(metrics).find(([name]) => name === metric.name)
    expect<string>(known![1].role).toBe(roleOf(deployment))
    expect(readme).toContain(metric.name.replace(/^tasktide_/, ''))
  }
  const sockets = Number(scalers[0]!.spec.metrics[0]!.pods!.target.averageValue)
  expect(sockets).toBeLessThan(Number(settings['MAX_CONNECTIONS']))
})
