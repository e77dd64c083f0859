// Convergence: the end state is the same in PostgreSQL, in the log and in every live view.
import type { FinalTask, LogFact } from '../history.ts'
import type { Findings } from '../report.ts'
import type { Timeline } from '../timeline.ts'

const property = 'convergence'

export const checkConvergence = (timeline: Timeline, findings: Findings): void => {
  const { final } = timeline.history
  const rows = new Map(final.tasks.map((row) => [row.task, row]))
  for (const task of timeline.tasks) {
    const facts = [...timeline.factsOf(task).values()]
    const last = facts.reduce((newest, fact) => (fact.version > newest.version ? fact : newest))
    checkRow(findings, last, rows.get(task))
  }
  for (const row of final.tasks)
    findings.expect(
      property,
      timeline.factsOf(row.task).size > 0,
      () => `the row of task ${row.task} has no entry in the log`,
    )
  const byProject = Map.groupBy(final.tasks, ({ project }) => project)
  for (const view of final.views) {
    const own = byProject.get(view.project) ?? []
    const shown = new Map(view.tasks.map((seen) => [seen.task, seen]))
    const name = `the view ${view.view}`
    for (const row of own) {
      const seen = shown.get(row.task)
      findings.expect(
        property,
        seen?.version === row.version && (seen.content === null || seen.content === row.content),
        () =>
          `${name} ends with version ${seen?.version} of task ${row.task}, PostgreSQL with ${row.version}`,
        () => [timeline.factOf(row.task, row.version)],
      )
    }
    const exists = new Set(own.map(({ task }) => task))
    for (const { task, version } of view.tasks)
      findings.expect(
        property,
        exists.has(task),
        () => `${name} ends with version ${version} of task ${task}, which is deleted`,
        () => [timeline.factOf(task, version)],
      )
  }
}

const checkRow = (findings: Findings, last: LogFact, row: FinalTask | undefined): void => {
  const isGone = last.type === 'task.deleted'
  findings.expect(
    property,
    isGone
      ? row === undefined
      : row?.version === last.version && (last.content === null || row.content === last.content),
    () =>
      `PostgreSQL has version ${row?.version ?? 'none'} of task ${last.entity}, the log ends with version ${last.version}${isGone ? ' (deleted)' : ''}`,
    () => [last],
  )
}
