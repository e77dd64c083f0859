// A small writer of charts as SVG: a frame with axes, units, a grid and a legend, on light and dark backgrounds. Sizes are
// those at which a README shows them, so that text is as large as the text around it.

export const width = 760
export const colours = [
  ['#0b6bcb', '#58a6ff'],
  ['#c4500b', '#f0883e'],
  ['#1a7f37', '#3fb950'],
  ['#8250df', '#bc8cff'],
  ['#bf3989', '#f778ba'],
  ['#5c6670', '#9aa4ae'],
] as const

const style = `
svg { --ink: #1f2328; --muted: #57606a; --grid: #d8dee4; --back: #ffffff; ${vars(0)} }
@media (prefers-color-scheme: dark) { svg { --ink: #e6edf3; --muted: #9da7b1; --grid: #30363d; --back: #0d1117; ${vars(1)} } }
text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: var(--muted); }
.title { font-size: 16px; font-weight: 600; fill: var(--ink); }
.name { fill: var(--ink); }
.grid { stroke: var(--grid); stroke-width: 1; }
.axis { stroke: var(--muted); stroke-width: 1; }
.line { fill: none; stroke-width: 2.25; stroke-linejoin: round; stroke-linecap: round; }
.mark { stroke: var(--back); stroke-width: 1.5; }
`

function vars(scheme: 0 | 1): string {
  return colours.map((pair, index) => `--c${index}: ${pair[scheme]};`).join(' ')
}

export const colour = (index: number): string => `var(--c${index % colours.length})`

export const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')

type Attributes = Record<string, string | number>

export const element = (name: string, attributes: Attributes, content = ''): string => {
  const given = Object.entries(attributes).map(
    ([key, value]) => ` ${key}="${typeof value === 'number' ? Number(value.toFixed(1)) : escaped(value)}"`,
  )
  return `<${name}${given.join('')}${content === '' ? '/>' : `>${content}</${name}>`}`
}

export const label = (x: number, y: number, content: string, more: Attributes = {}): string =>
  element('text', { x, y, ...more }, escaped(content))

/** The document. @param about the alternative text: what the chart shows. */
export const picture = (height: number, title: string, about: string, parts: string[]): string =>
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escaped(about)}">
<style>${style}</style>
<rect width="${width}" height="${height}" rx="6" style="fill: var(--back)"/>
${label(20, 30, title, { class: 'title' })}
${parts.join('\n')}
</svg>
`

export interface Scale {
  (value: number): number
  ticks: number[]
}

/** Steps of 1, 2 or 5 times a power of ten, about five of them, from 0. */
export const linear = (highest: number, from: number, to: number): Scale => {
  const rough = (highest || 1) / 5
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough)!
  const top = Math.ceil((highest || 1) / step) * step
  const ticks = Array.from({ length: Math.round(top / step) + 1 }, (_, index) => index * step)
  return Object.assign((value: number) => from + (value / top) * (to - from), { ticks })
}

/** Powers of ten, with 2 and 5 between them where there are few. */
export const logarithmic = (lowest: number, highest: number, from: number, to: number): Scale => {
  const start = Math.floor(Math.log10(lowest))
  const end = Math.max(start + 1, Math.ceil(Math.log10(highest) - 1e-9))
  const factors = end - start <= 2 ? [1, 2, 5] : [1]
  const ticks = Array.from({ length: end - start + 1 }, (_, index) => 10 ** (start + index))
    .flatMap((power) => factors.map((factor) => factor * power))
    .filter((tick) => tick <= 10 ** end)
  return Object.assign(
    (value: number) =>
      from + ((Math.log10(Math.max(value, 10 ** start)) - start) / (end - start)) * (to - from),
    { ticks: ticks.map((tick) => Number(tick.toPrecision(3))) },
  )
}

/** 1,500,000 as 1.5M: short enough for an axis. */
export const short = (value: number): string =>
  value >= 1e6
    ? `${Number((value / 1e6).toPrecision(3))}M`
    : value >= 1e4
      ? `${Number((value / 1e3).toPrecision(3))}k`
      : value.toLocaleString('en', { maximumSignificantDigits: 3 })

/** Names with their colours in rows below the title. @returns the parts and the height they take. */
export const legend = (names: readonly string[], top: number): { parts: string[]; height: number } => {
  const parts: string[] = []
  let [x, y] = [20, top]
  for (const [index, name] of names.entries()) {
    const wide = 34 + name.length * 7
    if (x + wide > width - 20 && x > 20) [x, y] = [20, y + 22]
    parts.push(
      element('rect', { x, y: y - 9, width: 12, height: 12, rx: 2, style: `fill: ${colour(index)}` }),
      label(x + 18, y + 1, name, { class: 'name' }),
    )
    x += wide
  }
  return { parts, height: y - top + 22 }
}
