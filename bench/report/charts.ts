// The three kinds of charts a report needs: lines over a quantity, percentiles of rows on a logarithmic scale of time,
// and stacked bars.
import {
  colour,
  element,
  escaped,
  label,
  legend,
  linear,
  logarithmic,
  picture,
  short,
  width,
  type Scale,
} from './svg.ts'

export interface Line {
  name: string
  points: readonly [number, number][]
}

export interface Axis {
  title: string
  isLog?: boolean
}

export interface LineChart {
  title: string
  about: string
  x: Axis
  y: Axis
  lines: readonly Line[]
  /** A level that counts, drawn across. */
  level?: { at: number; name: string }
}

const plotHeight = 260
const right = width - 24

const scaleOf = (axis: Axis, values: number[], from: number, to: number): Scale => {
  const positive = values.filter((value) => value > 0)
  return axis.isLog
    ? logarithmic(Math.min(...positive), Math.max(...positive), from, to)
    : linear(Math.max(0, ...values), from, to)
}

export const lineChart = ({ title, about, x, y, lines, level }: LineChart): string => {
  const { parts, height } = legend(
    lines.map(({ name }) => name),
    56,
  )
  const top = 56 + height + 14
  const bottom = top + plotHeight
  const points = lines.flatMap((line) => line.points)
  const up = scaleOf(y, [...points.map(([, value]) => value), ...(level ? [level.at] : [])], bottom, top)
  const left = 44 + 8 * Math.max(...up.ticks.map((tick) => short(tick).length))
  const across = scaleOf(
    x,
    points.map(([value]) => value),
    left,
    right,
  )
  for (const tick of up.ticks)
    parts.push(
      element('line', { x1: left, x2: right, y1: up(tick), y2: up(tick), class: 'grid' }),
      label(left - 8, up(tick) + 4.5, short(tick), { 'text-anchor': 'end' }),
    )
  for (const tick of across.ticks)
    parts.push(
      element('line', { x1: across(tick), x2: across(tick), y1: bottom, y2: bottom + 5, class: 'axis' }),
      label(across(tick), bottom + 20, short(tick), { 'text-anchor': 'middle' }),
    )
  parts.push(
    element('line', { x1: left, x2: right, y1: bottom, y2: bottom, class: 'axis' }),
    label((left + right) / 2, bottom + 42, x.title, { 'text-anchor': 'middle' }),
    label(left - 8, top - 12, y.title, { 'text-anchor': 'start', x: 20 }),
  )
  if (level)
    parts.push(
      element('line', {
        x1: left,
        x2: right,
        y1: up(level.at),
        y2: up(level.at),
        style: 'stroke: var(--ink)',
        'stroke-dasharray': '5 4',
      }),
      label(right, up(level.at) - 6, level.name, { 'text-anchor': 'end', class: 'name' }),
    )
  for (const [index, line] of lines.entries()) {
    const path = line.points.map(([px, py]) => `${across(px).toFixed(1)},${up(py).toFixed(1)}`).join(' ')
    parts.push(element('polyline', { points: path, class: 'line', style: `stroke: ${colour(index)}` }))
    if (line.points.length <= 24)
      for (const [px, py] of line.points)
        parts.push(
          element('circle', {
            cx: across(px),
            cy: up(py),
            r: 4,
            class: 'mark',
            style: `fill: ${colour(index)}`,
          }),
        )
  }
  return picture(bottom + 58, title, about, parts)
}

const barHeight = 30

export interface RangeRow {
  name: string
  /** Ascending, as many as there are names of marks. */
  values: readonly number[]
}

/** Each row a line from its first to its last value, with a mark for each, on a logarithmic axis. */
export const rangeChart = (chart: {
  title: string
  about: string
  unit: string
  marks: readonly string[]
  rows: readonly RangeRow[]
}): string => {
  const { parts, height } = legend(chart.marks, 56)
  const top = 56 + height + 4
  const left = 36 + 7 * Math.max(...chart.rows.map(({ name }) => name.length))
  const bottom = top + chart.rows.length * barHeight
  const values = chart.rows.flatMap((row) => row.values).filter((value) => value > 0)
  const across = logarithmic(Math.min(...values), Math.max(...values), left, right)
  for (const tick of across.ticks)
    parts.push(
      element('line', { x1: across(tick), x2: across(tick), y1: top, y2: bottom, class: 'grid' }),
      label(across(tick), bottom + 20, short(tick), { 'text-anchor': 'middle' }),
    )
  for (const [index, { name, values: own }] of chart.rows.entries()) {
    const y = top + (index + 0.5) * barHeight
    parts.push(
      label(left - 12, y + 4.5, name, { 'text-anchor': 'end', class: 'name' }),
      element('line', {
        x1: across(own[0]!),
        x2: across(own.at(-1)!),
        y1: y,
        y2: y,
        style: 'stroke: var(--muted); stroke-width: 2',
      }),
      ...own.map((value, mark) =>
        element('circle', { cx: across(value), cy: y, r: 5, class: 'mark', style: `fill: ${colour(mark)}` }),
      ),
    )
  }
  parts.push(label((left + right) / 2, bottom + 42, chart.unit, { 'text-anchor': 'middle' }))
  return picture(bottom + 58, chart.title, chart.about, parts)
}

/** Stacked bars with their sum at the end. */
export const stackChart = (chart: {
  title: string
  about: string
  unit: string
  kinds: readonly string[]
  rows: readonly RangeRow[]
}): string => {
  const { parts, height } = legend(chart.kinds, 56)
  const top = 56 + height + 4
  const left = 36 + 7 * Math.max(...chart.rows.map(({ name }) => name.length))
  const bottom = top + chart.rows.length * barHeight
  const sums = chart.rows.map(({ values }) => values.reduce((sum, value) => sum + value, 0))
  const across = linear(Math.max(...sums), left, right - 56)
  for (const tick of across.ticks)
    parts.push(
      element('line', { x1: across(tick), x2: across(tick), y1: top, y2: bottom, class: 'grid' }),
      label(across(tick), bottom + 20, short(tick), { 'text-anchor': 'middle' }),
    )
  for (const [index, { name, values }] of chart.rows.entries()) {
    const y = top + index * barHeight
    parts.push(label(left - 12, y + barHeight / 2 + 4.5, name, { 'text-anchor': 'end', class: 'name' }))
    let sum = 0
    for (const [kind, value] of values.entries()) {
      const x = across(sum)
      sum += value
      parts.push(
        element(
          'rect',
          {
            x,
            y: y + 6,
            width: Math.max(0, across(sum) - x),
            height: barHeight - 12,
            style: `fill: ${colour(kind)}`,
          },
          `<title>${escaped(`${chart.kinds[kind]}: ${Math.round(value)}`)}</title>`,
        ),
      )
    }
    parts.push(label(across(sum) + 8, y + barHeight / 2 + 4.5, short(Math.round(sum)), { class: 'name' }))
  }
  parts.push(label((left + right) / 2, bottom + 42, chart.unit, { 'text-anchor': 'middle' }))
  return picture(bottom + 58, chart.title, chart.about, parts)
}
