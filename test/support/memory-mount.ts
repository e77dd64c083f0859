// A file system in memory with a size, so that a test may fill a disk that is not the machine's. Only a process that may
// mount can use it.
import { mkdir } from 'node:fs/promises'
import { mkdtempSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const mount = (folder: string, bytes: number): boolean =>
  Bun.which('mount') !== null &&
  Bun.spawnSync(['mount', '-t', 'tmpfs', '-o', `size=${bytes},mode=0755`, 'tmpfs', folder], {
    stderr: 'ignore',
  }).exitCode === 0

const unmount = (folder: string): void => {
  Bun.spawnSync(['umount', '--lazy', folder], { stderr: 'ignore' })
}

/** Whether this process may mount a file system. */
export const canMount = (): boolean => {
  const folder = mkdtempSync(join(tmpdir(), 'tide-mount-'))
  const isMounted = mount(folder, 1024 * 1024)
  if (isMounted) unmount(folder)
  rmdirSync(folder)
  return isMounted
}

/** @param folder is created. */
export const mountMemory = async (folder: string, bytes: number): Promise<Disposable> => {
  await mkdir(folder, { recursive: true })
  if (!mount(folder, bytes)) throw new Error('this process may not mount a file system')
  return { [Symbol.dispose]: () => unmount(folder) }
}
