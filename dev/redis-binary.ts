// Finds a Redis (6.2 or later) or Valkey server; where there is none, brings one: Homebrew on macOS, and on
// Debian and Ubuntu the distribution's package, unpacked below the project. Nothing is installed into the
// system, no daemon starts, and no root is needed.
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { join, resolve } from 'node:path'

export interface RedisBinary {
  path: string
  /** What the process needs in its environment to find its libraries. */
  env: Record<string, string>
}

const toolsDir = resolve(import.meta.dir, '..', '.data', 'tools')
const stepTimeoutMs = 120_000

const help =
  'No redis-server or valkey-server here: install one (apt install redis-server, brew install redis) or set REDIS_URL'

const runs = ({ path, env }: RedisBinary): boolean => {
  const done = Bun.spawnSync([path, '--version'], { env, timeout: 5_000 })
  const version = /v=(\d+)\.(\d+)/.exec(done.stdout.toString())?.slice(1).map(Number)
  return version !== undefined && (version[0]! > 6 || (version[0] === 6 && version[1]! >= 2))
}

const onPath = (): RedisBinary | undefined =>
  ['redis-server', 'valkey-server', '/opt/homebrew/bin/redis-server', '/usr/local/bin/redis-server']
    .map((name) => Bun.which(name))
    .filter((path) => path !== null)
    .map((path) => ({ path, env: {} }))
    .find(runs)

const unpacked = (home: string): RedisBinary | undefined => {
  const path = join(home, 'usr', 'bin', 'redis-server')
  if (!existsSync(path)) return undefined
  const lib = join(home, 'usr', 'lib')
  const folders = existsSync(lib) ? readdirSync(lib, { withFileTypes: true }) : [] // the system may have them all
  const libraries = folders.filter((entry) => entry.isDirectory()).map((entry) => join(lib, entry.name))
  const binary = { path, env: { LD_LIBRARY_PATH: libraries.join(':') } }
  return runs(binary) ? binary : undefined
}

const step = async (command: string[]): Promise<boolean> =>
  (await Bun.spawn(command, { stdio: ['ignore', 'ignore', 'ignore'], timeout: stepTimeoutMs }).exited) === 0

/** Private state folders, so that neither root nor a lock of the system's package manager is needed. */
const unpack = async (home: string): Promise<void> => {
  const work = `${home}.${process.pid}`
  const archives = join(work, 'archives')
  const lists = join(work, 'lists')
  const tree = join(work, 'tree')
  for (const folder of [join(archives, 'partial'), join(lists, 'partial'), tree]) {
    mkdirSync(folder, { recursive: true })
  }
  const state = [
    '-o',
    'Debug::NoLocking=1',
    '-o',
    `Dir::Cache=${work}`,
    '-o',
    `Dir::Cache::archives=${archives}`,
  ]
  const asMe = ['-o', 'APT::Sandbox::User=root']
  const download = [
    'install',
    '--yes',
    '--no-install-recommends',
    '--reinstall',
    '--download-only',
    'redis-tools',
  ]
  try {
    // The machine's own package lists may be missing or old; then private ones are fetched.
    if (!(await step(['apt-get', ...state, ...asMe, ...download]))) {
      const fresh = [...state, ...asMe, '-o', `Dir::State::lists=${lists}`]
      if (!(await step(['apt-get', ...fresh, 'update'])) || !(await step(['apt-get', ...fresh, ...download])))
        return
    }
    for (const name of readdirSync(archives).filter((name) => name.endsWith('.deb'))) {
      if (!(await step(['dpkg', '-x', join(archives, name), tree]))) return
    }
    // The checker's binary is the server's: called under the server's name it is the server.
    symlinkSync('redis-check-rdb', join(tree, 'usr', 'bin', 'redis-server'))
    rmSync(home, { recursive: true, force: true })
    renameSync(tree, home)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** @param log receives a line before anything is fetched. */
export const redisBinary = async (log: (line: string) => void = () => {}): Promise<RedisBinary> => {
  const home = join(toolsDir, 'redis')
  const found = onPath() ?? unpacked(home)
  if (found) return found
  if (Bun.which('apt-get') && Bun.which('dpkg')) {
    log('Fetching Redis from the package archive (once) …')
    await unpack(home)
  } else if (Bun.which('brew')) {
    log('Installing Redis with Homebrew (once) …')
    await step(['brew', 'install', 'redis'])
  }
  const brought = onPath() ?? unpacked(home)
  if (!brought) throw new Error(help)
  return brought
}
