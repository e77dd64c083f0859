#!/usr/bin/env node
// The launcher: plain Node (>= 20) or Bun, no dependencies. It makes sure that Bun and the locked packages are
// there, then hands over to Bun and becomes a relay: signals go down, the exit code comes up, and Bun never
// outlives it. Its own messages go to standard error; standard output belongs to the command.
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statfsSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { constants as system } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const oldestBun = [1, 4, 5]
/** What its binary takes, and npm while it unpacks it. */
const bunBytes = 200 * 1024 * 1024
const doubleSignalMs = 1_000
const parentPollMs = 500

const entries = {
  up: ['bin/up.ts'],
  test: ['bin/test.ts'],
  run: ['src/main.ts'],
  script: [],
}

const printLine = (text) => process.stderr.write(`${text}\n`)

class Unusable extends Error {}

/** What a tool prints when a machine lacks something, and the sentence for it. */
const causes = [
  [/ENOSPC|No space left|EDQUOT/, 'the disk is full: free space'],
  [/EACCES|EPERM|EROFS|Permission denied/, 'this user may not write there: give it the rights'],
  [
    /EAI_AGAIN|ENOTFOUND|ECONN\w+|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ERR_SOCKET_TIMEOUT|DNSResolveFailed|ConnectionRefused|ConnectionClosed|FailedToOpenSocket|Timeout|network/,
    'the package registry does not answer: the first start needs the network (HTTPS_PROXY where there is a proxy), later ones do not',
  ],
]

/** Runs a tool whose output only matters when it fails: one sentence where the cause is known, else all of it. */
const quietly = (what, command, args, env, cwd = root) => {
  const done = spawnSync(command, args, { cwd, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  if (done.error) throw new Unusable(`${command} does not start: ${done.error.message}`)
  if (done.status === 0) return
  const output = `${done.stdout}${done.stderr}`.trim()
  const cause = causes.find(([pattern]) => pattern.test(output))?.[1]
  throw new Unusable(
    cause
      ? `${what} cannot be installed in ${cwd}: ${cause}`
      : `${command} ${args.join(' ')} failed:\n${output}`,
  )
}

const isUsableFolder = (path) => {
  try {
    accessSync(path, constants.W_OK | constants.X_OK)
    return statSync(path).isDirectory()
  } catch {
    return false
  }
}

/** A proxy is for other machines: Bun's fetch would ask it for loopback addresses too. */
const withoutProxyForLoopback = (env) => {
  const list = [env.NO_PROXY || env.no_proxy, 'localhost,127.0.0.1,::1,[::1]'].filter(Boolean).join(',')
  return { ...env, NO_PROXY: list, no_proxy: list }
}

/** npm and Bun write caches below HOME: an empty one makes npm create `./~`, a read-only one fails. */
const environment = () => {
  const env = withoutProxyForLoopback(process.env)
  if (env.HOME && isUsableFolder(env.HOME)) return env
  const home = join(root, '.data', 'home')
  mkdirSync(home, { recursive: true })
  return { ...env, HOME: home, npm_config_cache: join(home, 'npm'), BUN_INSTALL_CACHE_DIR: join(home, 'bun') }
}

const isCompatible = (version) => {
  const found = /^(\d+)\.(\d+)\.(\d+)/.exec(version)?.slice(1).map(Number)
  if (!found || found[0] !== oldestBun[0]) return false
  return found[1] > oldestBun[1] || (found[1] === oldestBun[1] && found[2] >= oldestBun[2])
}

const answersAsBun = (path) => {
  const { status, stdout } = spawnSync(path, ['--version'], { encoding: 'utf8', timeout: 10_000 })
  return status === 0 && isCompatible(stdout)
}

const onPath = (name) =>
  (process.env.PATH ?? '')
    .split(delimiter)
    .filter(Boolean)
    .map((folder) => join(folder, name))
    .find((path) => existsSync(path))

/** npm is asked to skip postinstall scripts, so the binary stays in its platform package. */
const installedBun = () => {
  const packages = join(root, 'tools', 'bun', 'node_modules', '@oven')
  if (!existsSync(packages)) return undefined
  return readdirSync(packages)
    .map((name) => join(packages, name, 'bin', 'bun'))
    .find((path) => existsSync(path) && answersAsBun(path))
}

/** By default npm tries for 70 s to reach a registry that is away; `npm run -s` silences its errors. */
const npmOptions = [
  '--ignore-scripts',
  '--no-audit',
  '--no-fund',
  '--loglevel=error',
  '--prefer-offline',
  '--fetch-timeout=15000',
  '--fetch-retries=1',
  '--fetch-retry-mintimeout=500',
  '--fetch-retry-maxtimeout=1000',
]

const ensureBun = (env) => {
  if (process.versions.bun && isCompatible(process.versions.bun)) return process.execPath
  const found = onPath('bun')
  if (found && answersAsBun(found)) return found
  const installed = installedBun()
  if (installed) return installed
  const npm = onPath('npm')
  const wanted = `Bun ${oldestBun.join('.')} or later`
  if (!npm) throw new Unusable(`${wanted} is needed and npm is not here to install it: run \`bun upgrade\``)
  printLine('Installing Bun (once, below tools/bun) …')
  quietly('Bun', npm, ['ci', ...npmOptions], env, join(root, 'tools', 'bun'))
  const fresh = installedBun()
  if (fresh) return fresh
  // The binary is an optional package for npm: on a full disk it is left out, or cut off, without an error.
  const { bavail, bsize } = statfsSync(root)
  const cause =
    bavail * bsize < bunBytes
      ? 'the disk is full: free space'
      : `npm left out its package for ${process.platform} ${process.arch}: try again, or install ${wanted} by hand`
  throw new Unusable(`Bun cannot be installed in ${join(root, 'tools', 'bun')}: ${cause}`)
}

/** What the installed packages must match: the lock file and every patch. */
const fingerprint = () => {
  const hash = createHash('sha256').update(`${process.platform} ${process.arch}\n`)
  const patches = join(root, 'patches')
  const files = existsSync(patches)
    ? readdirSync(patches)
        .toSorted()
        .map((name) => join(patches, name))
    : []
  for (const path of [join(root, 'package.json'), join(root, 'bun.lock'), ...files])
    hash.update(readFileSync(path))
  return hash.digest('hex')
}

const ensurePackages = (bun, env) => {
  const stamp = join(root, 'node_modules', '.tasktide-lock')
  const wanted = fingerprint()
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return
  printLine('Installing the locked packages …')
  quietly('The packages', bun, ['install', '--frozen-lockfile'], env)
  writeFileSync(stamp, wanted)
}

/**
 * Runs Bun in the foreground. A terminal sends Ctrl-C to the whole group and npm repeats TERM, so a signal
 * that follows the first within a second is the same one.
 */
const relay = (bun, args, env) => {
  const child = spawn(bun, args, {
    cwd: root,
    env: { ...env, TASKTIDE_LAUNCHER: String(process.pid) },
    stdio: 'inherit',
  })
  let lastSignalAt = 0
  const forward = (signal) => {
    const now = Date.now()
    if (now - lastSignalAt < doubleSignalMs) return
    lastSignalAt = now
    child.kill(signal)
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => forward(signal))
  // A package manager that was killed cannot pass the signal on. Started by hand, outliving the shell is fine.
  const parent = process.ppid
  if (process.env.npm_lifecycle_event) {
    setInterval(() => process.ppid !== parent && forward('SIGTERM'), parentPollMs).unref()
  }
  child.on('error', (error) => {
    printLine(`Bun does not start: ${error.message}`)
    process.exit(1)
  })
  child.on('exit', (code, signal) => process.exit(code ?? 128 + (system.signals[signal] ?? 0)))
}

const [command = '', ...rest] = process.argv.slice(2)
const entry = entries[command]
if (!entry) {
  printLine('usage: tasktide.mjs up [--fresh] [--json] | test [path…] | run <role> … | script <file> …')
  process.exit(2)
}
try {
  const env = environment()
  const bun = ensureBun(env)
  ensurePackages(bun, env)
  relay(bun, [...entry, ...rest], { ...env, PATH: `${dirname(bun)}${delimiter}${env.PATH ?? ''}` })
} catch (error) {
  const cause = causes.find(([pattern]) => pattern.test(error.code ?? ''))?.[1]
  printLine(error instanceof Unusable ? error.message : cause ? `${root}: ${cause}` : error.stack)
  process.exit(1)
}
