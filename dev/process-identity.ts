// Which process a number means. Numbers are reused, so a process is its number and its time of birth together,
// and a file that names one can be trusted after any crash.
import { existsSync, readFileSync } from 'node:fs'

export interface ProcessIdentity {
  pid: number
  /** Opaque; equal for the same process only. */
  born: string
}

const hasProc = existsSync('/proc/self/stat')

const ps = (pid: number, column: string): string | undefined => {
  const { exitCode, stdout } = Bun.spawnSync(['ps', '-o', `${column}=`, '-p', String(pid)])
  return exitCode === 0 ? stdout.toString().trim() : undefined
}

const proc = (pid: number, file: string): string | undefined => {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch {
    return undefined
  }
}

const birthOf = (pid: number): string | undefined => {
  if (!hasProc) return ps(pid, 'lstart')
  // The name in parentheses may hold spaces; the state is the first field after it, the start time the 20th.
  const fields = proc(pid, 'stat')?.split(') ').at(-1)?.split(' ')
  return fields && fields[0] !== 'Z' ? fields[19] : undefined
}

/** The process with this number, or undefined when there is none (a zombie is none). */
export const identify = (pid: number): ProcessIdentity | undefined => {
  const born = birthOf(pid)
  return born ? { pid, born } : undefined
}

export const isAlive = (process: ProcessIdentity): boolean => birthOf(process.pid) === process.born

/** The command line of a process, its arguments joined by spaces. */
export const commandOf = (pid: number): string | undefined =>
  hasProc ? proc(pid, 'cmdline')?.replaceAll('\0', ' ') : ps(pid, 'command')
