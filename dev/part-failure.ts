// Why a part that `up` or the tests start does not, as one sentence, found in the end of its output.
import { diskFailure, exitCodes, StartFailure } from '../src/start/failure.ts'

const fullDisk = /No space left on device|Disk quota exceeded|Check free disk space/
const reason = /\b(?:FATAL|PANIC|error|Fatal|Error)\b:?\s*(.*)/

/** @param output the end of what it printed; @param folder where it writes. */
export const partFailure = (part: string, output: string, folder: string): Error => {
  if (fullDisk.test(output)) return diskFailure('TIDE_DATA', folder)
  const lines = output.trim().split('\n')
  const cause = lines.map((line) => reason.exec(line)?.[1]).find(Boolean) ?? lines.at(-1) ?? ''
  return new Error(`${part} does not start: ${cause === '' ? 'it printed nothing' : cause}`)
}

/**
 * The sentence of a role that gave up: the last fatal line of its log, without the rest of the line, or what a command
 * prints after its log.
 * @param code of its exit; null where it was stopped.
 */
export const roleFailure = (role: string, output: string, code: number | null): Error => {
  const isExplained = code === exitCodes.configuration || code === exitCodes.unavailable
  const fatal = output
    .split('\n')
    .map((line) => /^\{.*"level":(?:60|"fatal").*\}$/.exec(line)?.[0])
    .findLast((line) => line !== undefined)
  const message: unknown = fatal === undefined ? undefined : Reflect.get(JSON.parse(fatal), 'msg')
  if (isExplained) {
    const lines = output.split('\n')
    const plain = lines.slice(lines.findLastIndex((line) => line.startsWith('{')) + 1).join('\n')
    return new StartFailure(typeof message === 'string' ? message : plain, code)
  }
  return new Error(typeof message === 'string' ? `${role}: ${message}` : `${role} does not start:\n${output}`)
}
