// The log files of the parts: the last run's is kept once, and an error quotes the end of this run's.
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'

/** Starts an empty log, keeping the previous one beside it as `.1`. */
export const freshLog = (path: string): void => {
  rmSync(`${path}.1`, { force: true })
  try {
    renameSync(path, `${path}.1`)
  } catch {
    // The first run has nothing to keep.
  }
  writeFileSync(path, '', { mode: 0o600 })
}

export const tailOf = (path: string, lines = 12): string => {
  try {
    return readFileSync(path, 'utf8').trimEnd().split('\n').slice(-lines).join('\n')
  } catch {
    return ''
  }
}
