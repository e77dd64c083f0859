// What the system knows of processes: memory and CPU time. Where there is no /proc every figure is NaN.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'

/** Resident memory in bytes. */
export const residentBytes = (pid: number): number => {
  try {
    return Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]) * 4_096
  } catch {
    const { stdout } = Bun.spawnSync(['ps', '-o', 'rss=', '-p', String(pid)])
    return Number(stdout.toString().trim()) * 1024
  }
}

/** The highest resident memory in bytes, since the start of the process or `resetPeak`; NaN where there is no /proc. */
export const peakBytes = (pid: number): number => {
  try {
    return Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) * 1024
  } catch {
    return Number.NaN
  }
}

/** From now on the peak is at least the present size. */
export const resetPeak = (pid: number): void => {
  if (existsSync('/proc/self/clear_refs')) writeFileSync(`/proc/${pid}/clear_refs`, '5')
}

const tickMs = 10
/** Fields of /proc/<pid>/stat behind the command: user and system time, its own and of the children it waited for. */
const own = [11, 12] as const
const withEnded = [11, 12, 13, 14] as const

const statMs = (pid: number, fields: readonly number[]): number => {
  const values = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)!.split(' ')
  return fields.reduce((sum, field) => sum + Number(values[field]), 0) * tickMs
}

/** User and system time of one process in milliseconds, to 10 ms. */
export const cpuMs = (pid: number): number => {
  try {
    return statMs(pid, own)
  } catch {
    return Number.NaN
  }
}

/** The same of a process and all its children, ended ones too: PostgreSQL has a process for each connection. */
export const familyCpuMs = (pid: number): number => {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean)
    const ofChild = (child: string): number => {
      try {
        return statMs(Number(child), own)
      } catch {
        return 0 // ended since the list was read: the next reading has it among the ended
      }
    }
    return children.reduce((sum, child) => sum + ofChild(child), statMs(pid, withEnded))
  } catch {
    return Number.NaN
  }
}

const rounds = 4
const settleMs = 400

/** Resident memory of a process with `servers/collect.ts` in it, once its garbage is gone. */
export const settledBytes = async (pid: number): Promise<number> => {
  let least = Infinity
  for (let round = 0; round < rounds; round += 1) {
    process.kill(pid, 'SIGUSR2')
    await Bun.sleep(settleMs)
    least = Math.min(least, residentBytes(pid))
  }
  return least
}
