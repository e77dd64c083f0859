// The claims manifest: every measured figure that README and docs state, with the command that measures it again and the
// deviation that is still the same claim. In a document a figure stands between `<!--claim row.figure-->` and `<!--/-->`,
// a verdict between `<!--verdict row-->` and `<!--/-->`, the table of the last two whole runs after `<!--runs-->`; comments
// do not show.
import { join } from 'node:path'

export interface Claim {
  /** `<row>.<figure>` of the bench. */
  id: string
  /** Null until a run has measured it. */
  value: number | null
  /** Of the whole run before; null or absent where it has no such figure. */
  before?: number | null
  /** What the value was measured on, where it is of a run of some rows alone, after the whole one. */
  measuredAlone?: string
  /** Share of the value by which a new measurement may differ to the worse. */
  tolerance: number
  command: string
}

export interface Manifest {
  /** What the values of the last whole run were measured on: machine, commit, kind of run. */
  measured: string
  /** The same of the whole run before. */
  measuredBefore?: string
  claims: Claim[]
}

export const root = join(import.meta.dir, '..', '..')
export const manifestFile = join(root, 'bench', 'claims', 'claims.json')

export const readManifest = async (): Promise<Manifest> => (await Bun.file(manifestFile).json()) as Manifest

/** Documents that may state figures. */
export const documentPaths = async (): Promise<string[]> => [
  'README.md',
  ...(await Array.fromAsync(new Bun.Glob('docs/*.md').scan({ cwd: root }))),
]

export interface Mark {
  kind: 'claim' | 'verdict' | 'facts' | 'runs'
  /** Empty for `facts` and `runs`. */
  id: string
  /** What the document says. */
  text: string
}

const pattern = /<!--(claim|verdict|facts|runs)(?: ([\w.-]+))?-->(.*?)<!--\/-->/gs

export const marksIn = (text: string): Mark[] =>
  [...text.matchAll(pattern)].map(([, kind, id, content]) => ({
    kind: kind as Mark['kind'],
    id: id ?? '',
    text: content!,
  }))

/** The document with each mark's text replaced by what `textOf` answers; null keeps it. */
export const withMarks = (text: string, textOf: (mark: Mark) => string | null): string =>
  text.replaceAll(pattern, (whole, kind: Mark['kind'], id: string | undefined, content: string) => {
    const next = textOf({ kind, id: id ?? '', text: content })
    return next === null ? whole : `<!--${kind}${id === undefined ? '' : ` ${id}`}-->${next}<!--/-->`
  })

export const claimText = ({ value }: Pick<Claim, 'value'>): string =>
  value === null ? '–' : value.toLocaleString('en-US')
