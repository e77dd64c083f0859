// PostgreSQL refuses to run as root. Then it runs as `nobody`, who must reach the binaries and the data although
// the clone may lie below a folder only root may enter: with the one capability for that, or as root in a user
// namespace where its number is another. Which way works depends on the machine, so each is tried.
import { chownSync } from 'node:fs'

export interface Runner {
  /** What stands before the command; starts with an absolute path. */
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

/** @param sample a command that succeeds exactly when the user may run what comes later. */
export const unprivileged = (sample: string[]): Runner => {
  if (process.getuid?.() !== 0) return { prefix: [], own: () => {} }
  const uid = idOf('nobody', '-u')
  const gid = idOf('nobody', '-g')
  if (uid !== undefined && gid !== undefined) {
    const drop = ['setpriv', '--reuid', String(uid), '--regid', String(gid), '--clear-groups']
    const own = (path: string) => chownSync(path, uid, gid)
    const sudo = ['sudo', '-n', '-u', 'nobody', '--']
    const ways = [[...drop, ...keepCapability, '-all,+dac_override', '--'], [...drop, '--'], sudo]
    const prefix = firstRunnable(ways, sample)
    if (prefix) return { prefix, own }
  }
  const prefix = firstRunnable([['unshare', '--user', '--map-user=1000', '--']], sample)
  if (prefix) return { prefix, own: () => {} }
  throw new Error(
    'PostgreSQL cannot run as root, and neither setpriv, sudo nor unshare lets it run as another user who can ' +
      'read this folder: run as an ordinary user, or set DATABASE_URL',
  )
}
