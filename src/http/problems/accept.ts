// Content negotiation between HTML and Markdown (RFC 9110, 12.5.1).

/** Whether the header asks for Markdown rather than HTML; without a preference it is HTML. */
export const prefersMarkdown = (accept: string | null): boolean => {
  if (accept === null) return false
  const ranges = new Map(accept.split(',', 50).map(rangeOf))
  const any = ranges.get('*/*') ?? 0
  const text = ranges.get('text/*') ?? any
  return (ranges.get('text/markdown') ?? text) > (ranges.get('text/html') ?? text)
}

/** The media range and its quality, 1 where it is not given. */
const rangeOf = (part: string): [string, number] => {
  const [type = '', ...parameters] = part.split(';').map((piece) => piece.trim().toLowerCase())
  const quality = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2)
  return [type, quality === undefined ? 1 : Number(quality) || 0]
}
