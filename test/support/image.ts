// The image without an engine: a folder that holds exactly what Dockerfile and .dockerignore put into the last
// stage, installed by the steps of the Dockerfile. Programs start in it with the image's environment, without the right
// to write to it, and as another user where the test runs as root.
import { chmod, chown, cp, mkdir, readdir, rm } from 'node:fs/promises'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { parseDockerfile, readIgnore, variablesOf, wordsOf } from './dockerfile.ts'

const root = resolve(import.meta.dir, '..', '..')
const runTimeoutMs = 120_000
/** `nobody` on Debian; any number but 0 would do. */
const unprivilegedId = 65_534

export interface Image extends AsyncDisposable {
  /** The root folder of its last stage. */
  readonly rootDir: string
  readonly workDir: string
  /** Its variables; paths lie below `rootDir`. */
  readonly environment: Record<string, string>
  readonly entrypoint: string[]
  readonly command: string[]
  readonly healthcheck: string[]
  readonly user: string
  /** Prefix of a command that drops the rights of the test; empty where it has none. */
  readonly drop: string[]
}

interface Stage {
  dir: string
  workDir: string
  environment: Record<string, string>
  writable: string[]
  entrypoint: string[]
  command: string[]
  healthcheck: string[]
  user: string
}

/** @param dir an empty folder, deleted with the image. */
export const buildImage = async (dir: string): Promise<Image> => {
  const instructions = parseDockerfile(await Bun.file(join(root, 'Dockerfile')).text())
  const isLetIn = readIgnore(await Bun.file(join(root, '.dockerignore')).text())
  const named = new Map<string, Stage>()
  let stage: Stage | undefined
  for (const { name, text } of instructions) {
    if (name === 'FROM') {
      const [, label = ''] = / AS (\S+)$/.exec(text) ?? []
      stage = newStage(join(dir, `stage-${named.size}`))
      named.set(label, stage)
    } else if (stage) await build(stage, name, text, { isLetIn, named })
  }
  if (!stage) throw new Error('the Dockerfile has no stage')
  const bun = join(stage.dir, 'usr/local/bin/bun')
  await mkdir(dirname(bun), { recursive: true })
  await cp(process.execPath, bun)
  const environment = Object.fromEntries(
    Object.entries(stage.environment).map(([key, value]) => [
      key,
      value.startsWith('/') ? join(stage.dir, value) : value,
    ]),
  )
  await protect(dir, stage)
  return {
    rootDir: stage.dir,
    workDir: join(stage.dir, stage.workDir),
    environment: { ...environment, PATH: `${dirname(bun)}:/usr/bin:/bin` },
    entrypoint: stage.entrypoint,
    command: stage.command,
    healthcheck: stage.healthcheck,
    user: stage.user,
    drop: dropOf(),
    async [Symbol.asyncDispose]() {
      await run(['chmod', '-R', 'u+w', dir], dir, {}) // an ordinary user cannot empty what it may not write to
      await rm(dir, { recursive: true, force: true })
    },
  }
}

const newStage = (dir: string): Stage => ({
  dir,
  workDir: '/',
  environment: {},
  writable: [],
  entrypoint: [],
  command: [],
  healthcheck: [],
  user: 'root',
})

interface Context {
  isLetIn: (path: string) => boolean
  named: Map<string, Stage>
}

const build = async (stage: Stage, name: string, text: string, context: Context): Promise<void> => {
  switch (name) {
    case 'WORKDIR':
      stage.workDir = text
      return void (await mkdir(join(stage.dir, text), { recursive: true }))
    case 'ENV':
      return void Object.assign(stage.environment, variablesOf(text))
    case 'COPY':
      return copy(stage, text, context)
    case 'RUN':
      for (const command of text.split('&&')) await runIn(stage, command.trim().split(/\s+/))
      return
    case 'USER':
      stage.user = text
      return
    case 'ENTRYPOINT':
      stage.entrypoint = wordsOf(text)
      return
    case 'CMD':
      stage.command = wordsOf(text)
      return
    case 'HEALTHCHECK':
      stage.healthcheck = wordsOf(text.slice(text.indexOf('CMD') + 'CMD'.length))
      return
    case 'EXPOSE':
      return
    default:
      throw new Error(`the test cannot build ${name} ${text}`)
  }
}

/** `COPY [--from=stage] source… target`: a folder's content, a file under its name where the target is a folder. */
const copy = async (stage: Stage, text: string, { isLetIn, named }: Context): Promise<void> => {
  const words = text.split(/\s+/)
  const from = words[0]!.startsWith('--from=') ? named.get(words.shift()!.slice('--from='.length)) : undefined
  const target = words.pop()!
  for (const source of words) {
    const path = join(from ? from.dir : root, source)
    const isFolder = await readdir(path).then(
      () => true,
      () => false,
    )
    const place = join(stage.dir, stage.workDir, target, isFolder ? '' : basename(path))
    const filter = (one: string): boolean => from !== undefined || isLetIn(relative(root, one))
    // An excluded file is no error where a folder is copied, but a file that is named must exist.
    if (!isFolder && !filter(path)) throw new Error(`.dockerignore leaves out ${source}, which is copied`)
    await cp(path, place, { recursive: true, filter, verbatimSymlinks: true })
  }
}

const runIn = async (stage: Stage, words: string[]): Promise<void> => {
  const [program, ...args] = words
  const own = args.at(-1)!
  if (program === 'bun' && args[0] === 'install')
    return run([process.execPath, ...args], join(stage.dir, stage.workDir), {
      ...process.env,
      ...stage.environment,
    })
  if (program === 'mkdir') return void (await mkdir(join(stage.dir, own), { recursive: true }))
  if (program === 'chown') return void stage.writable.push(own)
  throw new Error(`the test cannot run ${words.join(' ')}`)
}

const run = async (
  command: string[],
  cwd: string,
  env: Record<string, string | undefined>,
): Promise<void> => {
  const child = Bun.spawn(command, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], timeout: runTimeoutMs })
  const texts = Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()])
  if ((await child.exited) !== 0)
    throw new Error(`${command.join(' ')} failed:\n${(await texts).join('').trim()}`)
}

/** Only the folders that the Dockerfile gives to its user can be written to. */
const protect = async (dir: string, stage: Stage): Promise<void> => {
  await run(['chmod', '-R', 'a+rX,a-w', stage.dir], dir, {})
  await chmod(dir, 0o755)
  for (const path of stage.writable) {
    const place = join(stage.dir, path)
    await chmod(place, 0o700)
    if (process.getuid?.() === 0) await chown(place, unprivilegedId, unprivilegedId)
  }
}

const dropOf = (): string[] => {
  const setpriv = process.getuid?.() === 0 ? Bun.which('setpriv') : null
  const id = String(unprivilegedId)
  return setpriv
    ? [setpriv, '--reuid', id, '--regid', id, '--clear-groups', '--inh-caps', '-all', '--no-new-privs', '--']
    : []
}
