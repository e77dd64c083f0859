// The results of the loads for workers as Markdown.
import { machineText, markdownTable } from '../chaos/table.ts'
import { maxDueSeconds, maxLateSeconds, type StormResults } from '../worker/storm-run.ts'

const verdictOf = (seconds: number, most: number): string => (seconds <= most ? 'ok' : 'VIOLATED')

export const stormsSection = ({ date, machine, due, steady, away }: StormResults): string => {
  const rows = [
    ...(due
      ? [
          [
            `${due.tasks} tasks fall due at one instant; one of two workers is killed after ${due.notifiedAtKill}`,
            `all after ${due.allSeconds} s, p50 ${due.lateSeconds.p50} s`,
            `${due.largestTransaction} in a transaction; resident ${due.residentMiB.before} to ${due.residentMiB.most} MiB`,
            `at most ${maxDueSeconds} s`,
            verdictOf(due.allSeconds, maxDueSeconds),
          ],
        ]
      : []),
    ...(steady
      ? [
          [
            `${steady.perSecond} tasks fall due each second, ${steady.tasks} in all; workers look every 15 s`,
            `late p50 ${steady.lateSeconds.p50} s, p99 ${steady.lateSeconds.p99} s, at most ${steady.lateSeconds.most} s`,
            '-',
            `p99 at most ${maxLateSeconds} s`,
            verdictOf(steady.lateSeconds.p99, maxLateSeconds),
          ],
        ]
      : []),
    ...away.map((one) => [
      `${one.entries} entries while no worker ran, then ${one.workers === 1 ? 'one worker' : `${one.workers} workers`}`,
      `read in ${one.seconds} s, ${one.perSecond} a second; ${one.notifications} notifications`,
      `${one.largestTransaction} in a transaction; resident at most ${one.mostResidentMiB} MiB`,
      'each once',
      'ok',
    ]),
  ]
  return [
    `${date.slice(0, 16)}, commit ${machine.commit}. ${machineText(machine)}. Load of the machine when the run began: ${machine.loadAverage}. Each run fails where a task or change has no notification or two, or the log has another number of entries for them.\n`,
    markdownTable(['Load', 'Measured', 'Bounds seen', 'Required', 'Verdict'], rows),
  ].join('\n')
}
