// PostgreSQL refuses to run as root, and as a user without an entry in /etc/passwd. For root it runs as `nobody`, who
// must reach the binaries and the data although the clone may lie below a folder only root may enter: with the one
// capability for that, or in a user namespace where the number is another, which also helps a user without an entry.
// Which way works depends on the machine, so each is tried.
import { chownSync } from 'node:fs'

export interface Runner {
  /** Prefix of the command; starts with an absolute path. */
  prefix: string[]
  /** Hands a file or folder to the user the command runs as. */
  own(path: string): void
}

const keepCapability = [
  '--securebits',
  '+no_setuid_fixup',
  '--inh-caps',
  '-all,+dac_override',
  '--ambient-caps',
]
const probeTimeoutMs = 5_000

/** The first way that runs `sample`, its program's path resolved. */
const firstRunnable = (ways: string[][], sample: string[]): string[] | undefined =>
  ways
    .map(([program = '', ...rest]) => [Bun.which(program) ?? '', ...rest])
    .filter(([path]) => path !== '')
    .find((way) => {
      const { exitCode } = Bun.spawnSync([...way, ...sample], {
        stdio: ['ignore', 'ignore', 'ignore'],
        timeout: probeTimeoutMs,
      })
      return exitCode === 0
    })

const idOf = (user: string, kind: '-u' | '-g'): number | undefined => {
  const { exitCode, stdout } = Bun.spawnSync(['id', kind, user])
  return exitCode === 0 ? Number(stdout.toString()) : undefined
}

/** In a user namespace, where the caller's number is that of a user with a name. */
const renamed = (uid: number | undefined): string[] => [
  'unshare',
  '--user',
  `--map-user=${uid ?? 1000}`,
  '--',
]

const hasName = (uid: number): boolean => Bun.spawnSync(['id', '-un', String(uid)]).exitCode === 0

/** @param sample a command that succeeds exactly when the user may run what comes later. */
export const unprivileged = (sample: string[]): Runner => {
  const self = process.getuid?.()
  const uid = idOf('nobody', '-u')
  if (self !== 0) {
    if (self === undefined || hasName(self)) return { prefix: [], own: () => {} }
    const prefix = firstRunnable([renamed(uid)], sample)
    if (prefix) return { prefix, own: () => {} }
    throw new Error(
      `PostgreSQL cannot run as user ${self}, who has no entry in /etc/passwd: add one, or set DATABASE_URL`,
    )
  }
  const gid = idOf('nobody', '-g')
  if (uid !== undefined && gid !== undefined) {
    const drop = ['setpriv', '--reuid', String(uid), '--regid', String(gid), '--clear-groups']
    const own = (path: string) => chownSync(path, uid, gid)
    const sudo = ['sudo', '-n', '-u', 'nobody', '--']
    const ways = [[...drop, ...keepCapability, '-all,+dac_override', '--'], [...drop, '--'], sudo]
    const prefix = firstRunnable(ways, sample)
    if (prefix) return { prefix, own }
  }
  const prefix = firstRunnable([renamed(uid)], sample)
  if (prefix) return { prefix, own: () => {} }
  throw new Error(
    'PostgreSQL cannot run as root, and neither setpriv, sudo nor unshare lets it run as another user who can ' +
      'read this folder: run as an ordinary user, or set DATABASE_URL',
  )
}
