// compose.yaml against what it has to keep: settings that exist, secrets as files, bounded logs and memory, health
// that no outage of a database turns into restarts, and cookies that work behind its proxy.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readConfig, secretSettings, settingNames } from '../src/config.ts'
import { startWorld, testPassword } from './support/world.ts'

interface Service {
  image: string
  command?: string[]
  restart?: string
  ports?: string[]
  container_name?: string
  environment?: Record<string, string>
  secrets?: string[]
  logging?: { driver: string; options: Record<string, string> }
  healthcheck?: { test?: string[]; disable?: boolean }
  depends_on?: Record<string, { condition: string }>
  deploy?: { resources: { limits: { cpus: string; memory: string } } }
}

interface Compose {
  services: Record<string, Service>
  secrets: Record<string, { file: string }>
  configs: { caddyfile: { content: string } }
}

const root = join(import.meta.dir, '..')
const source = await Bun.file(join(root, 'compose.yaml')).text()
/** With the default of every variable. */
const interpolated = JSON.stringify(Bun.YAML.parse(source)).replaceAll(/\$\{\w+:-([^}]*)\}/g, '$1')
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the tests check what they use
const compose = JSON.parse(interpolated) as Compose
const services = Object.entries(compose.services)
const own = services.filter(([, { image }]) => image === 'tasktide')
const readme = await Bun.file(join(root, 'README.md')).text()
const [createSecrets, , replace] = [
  ...readme.slice(readme.indexOf('\n## Deploy\n')).matchAll(/```sh\n(.*?)```/gs),
].map((match) => match[1]!)

interface Workflow {
  jobs: Record<string, { steps: { run?: string }[] }>
}

const stack = new AsyncDisposableStack()

/** A folder in which the commands have made their secrets. */
const folderAfter = async (commands: string): Promise<string> => {
  const folder = await mkdtemp(join(tmpdir(), 'tide-compose-'))
  stack.defer(() => rm(folder, { recursive: true, force: true }))
  const made = Bun.spawnSync(['sh', '-eu', '-c', commands], { cwd: folder })
  expect({ code: made.exitCode, faults: made.stderr.toString() }).toEqual({ code: 0, faults: '' })
  return folder
}

let dir: string
beforeAll(async () => void (dir = await folderAfter(createSecrets!)))
afterAll(() => stack.disposeAsync())

test('README.md and the workflow that starts it create every secret, readable in a container', async () => {
  const workflow = Bun.YAML.parse(await Bun.file(join(root, '.github/workflows/ci.yml')).text())
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the expectations check what is used
  const { steps } = (workflow as Workflow).jobs['image']!
  const ofWorkflow = steps.find(({ run }) => run?.includes('secrets'))!.run!
  for (const folder of [dir, await folderAfter(ofWorkflow)]) {
    const made = (await readdir(join(folder, 'secrets'))).map((name) => `./secrets/${name}`)
    expect(made.toSorted()).toEqual(
      Object.values(compose.secrets)
        .map(({ file }) => file)
        .toSorted(),
    )
    for (const path of made) {
      const file = Bun.file(join(folder, path))
      expect([path, file.size > 16, (await file.stat()).mode & 0o777]).toEqual([path, true, 0o644])
    }
  }
})

test('every variable it gives a role is a setting, and a secret is never the value of one', () => {
  expect(own.map(([name]) => name)).toEqual(['migrate', 'server-1', 'server-2', 'worker'])
  const given = own.flatMap(([, { environment }]) => Object.keys(environment!))
  expect(given.filter((name) => !settingNames.includes(name))).toEqual([])
  expect(secretSettings.filter((name) => given.includes(name))).toEqual(['REDIS_URL']) // without a password
  expect(compose.services['server-1']!.environment!['REDIS_URL']).not.toContain('@')
  expect(source).not.toMatch(/\$\{\w+:\?/) // nothing to set before it starts
})

test('the secrets that README.md creates are those it mounts, and production accepts them', async () => {
  for (const [name, service] of services)
    for (const [variable, path] of Object.entries(service.environment ?? {})) {
      if (!variable.endsWith('_FILE')) continue
      const secret = path.slice('/run/secrets/'.length)
      expect([name, path, service.secrets]).toEqual([
        name,
        `/run/secrets/${secret}`,
        expect.arrayContaining([secret]),
      ])
      expect(compose.secrets[secret]).toEqual({ file: `./secrets/${secret}` })
    }
  const inPlace = (text: string): string => text.replace('/run/secrets/', `${dir}/secrets/`)
  for (const [, { environment }] of own) {
    const settings = Object.entries(environment!).map(([name, value]) => [name, inPlace(value)])
    const config = readConfig(Object.fromEntries(settings))
    expect(config).toMatchObject({ env: 'production', trustedProxies: 1, drainDelaySeconds: 5 })
    const password = await Bun.file(join(dir, 'secrets', 'postgres_password')).text()
    expect(new URL(config.databaseUrl).password).toBe(password)
  }
})

test('logs are rotated, memory and processors are bounded, and what ends is started again', () => {
  for (const [name, service] of services) {
    expect([name, service.logging]).toEqual([
      name,
      {
        driver: 'json-file',
        options: { 'max-size': expect.stringMatching(/^\d+m$/), 'max-file': expect.any(String) },
      },
    ])
    expect([name, service.deploy?.resources.limits]).toEqual([
      name,
      { cpus: expect.any(String), memory: expect.stringMatching(/^\d+[MG]$/) },
    ])
    expect([name, service.restart]).toEqual([name, name === 'migrate' ? 'no' : 'unless-stopped'])
  }
})

test('a container is healthy while its process lives; the proxy alone asks whether a server is ready', async () => {
  const dockerfile = await Bun.file(join(root, 'Dockerfile')).text()
  const check = ({ healthcheck }: Service): string =>
    healthcheck?.test?.join(' ') ?? /HEALTHCHECK[^]*?\]/.exec(dockerfile)![0]
  for (const [name, service] of own.filter(([name]) => name !== 'migrate')) {
    expect([name, check(service)]).toEqual([name, expect.stringContaining('/livez')])
    expect(check(service)).not.toContain('/readyz')
    expect(check(service)).toContain("NO_PROXY = '*'")
  }
  const worker = compose.services['worker']!
  expect(check(worker)).toContain(`:${worker.environment!['WORKER_PORT']}/`)
  expect(compose.services['migrate']!.healthcheck).toEqual({ disable: true })
  const caddyfile = compose.configs.caddyfile.content
  expect(caddyfile).toContain('health_uri /readyz')
  expect(caddyfile).toContain('reverse_proxy server-1:3000 server-2:3000')
  // The proxy's own check reaches no server.
  const { healthcheck } = compose.services['proxy']!
  const address = healthcheck!.test!.at(-1)!.replace(/\/$/, '')
  expect(caddyfile).toMatch(new RegExp(`${address} \\{\\s+bind 127\\.0\\.0\\.1\\s+respond 200`))
})

test('the servers are two alike that can be replaced one after another, as README.md says', () => {
  expect(compose.services['server-2']).toEqual(compose.services['server-1'])
  for (const [, service] of own)
    expect([service.ports, service.container_name]).toEqual([undefined, undefined])
  const [, names] = /for part in (.*?); do/.exec(replace!)!
  expect(names!.split(' ')).toEqual(own.map(([name]) => name).filter((name) => name !== 'migrate'))
  expect(replace).toContain('--wait --no-deps "$part"')
  expect(replace!.indexOf('migrate')).toBeLessThan(replace!.indexOf('for part'))
})

test('behind its proxy a browser gets a Secure cookie and may refresh with it, over HTTPS alone', async () => {
  const trustedProxies = Number(compose.services['server-1']!.environment!['TRUSTED_PROXIES'])
  await using world = await startWorld({ env: 'production', trustedProxies, drainDelaySeconds: 0 })
  const person = await world.register()
  /** What Caddy adds to the request of a browser. */
  const through = (protocol: string, headers: Record<string, string> = {}) => ({
    Host: 'tasks.example.com',
    'X-Forwarded-For': '203.0.113.6',
    'X-Forwarded-Proto': protocol,
    Origin: 'https://tasks.example.com',
    ...headers,
  })
  const session = await world.call('POST', '/api/auth/login', {
    body: { email: person.email, password: testPassword },
    headers: through('https'),
  })
  const cookie = session.headers.get('set-cookie')!
  expect(cookie).toMatch(/^tide_refresh=.*; HttpOnly; Secure; SameSite=Strict$/)
  const refresh = (protocol: string) =>
    world.call('POST', '/api/auth/refresh', { headers: through(protocol, { Cookie: cookie.split(';')[0]! }) })
  expect(await refresh('http')).toMatchObject({ status: 403, body: { code: 'origin_refused' } })
  expect(await refresh('https')).toMatchObject({ status: 200 })
})
