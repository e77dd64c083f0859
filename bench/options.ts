// The command line of the bench: what may be asked for, and what is wrong with a request that cannot be met.
import { parseArgs } from 'node:util'

export interface Options {
  command: 'measure' | 'claims' | 'plots'
  /** Rows or sections; all for none. */
  only: string[]
  isQuick: boolean
  rounds: number | null
  hasCurves: boolean
  against: { url: string; token: string; mayWrite: boolean } | null
  /** Of `claims`: put the new figures into the manifest and the documents. */
  writes: boolean
  /** Of `claims` and `plots`: a report to read in place of a run. */
  from: string | null
  /** Where the report goes; null for a new folder below bench/results. */
  out: string | null
}

export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** @param known rows and sections by name. */
export const helpText = (known: readonly { name: string; rows: readonly { id: string }[] }[]): string => `
bun run bench [-- options]                measure everything on this machine (about half an hour)
bun run bench -- --quick                  in under two minutes: rougher, without the sections files and curves
bun run bench -- --only read-one,list     these rows or sections, and the limits they are compared with
bun run bench -- claims                   measure again what README and docs claim, and compare (--write replaces)
bun run bench -- plots                    draw the plots of the last report again

  --only <row,…>       rows or sections, below
  --rounds N           measurements of each row (5; 1 with --quick)
  --quick              smaller and shorter
  --curves             growth curves too: tasks to a million, listeners to 10,000, entries missed to 100,000
  --against URL --token T
                       an installation that runs already, with a user's access token: reads of that user's own first
                       project and tasks, nothing is written; --writes also creates a project named "bench", writes
                       tasks into it, follows it, and deletes it
  --from FILE          claims and plots: a report.json to read in place of a run or of the last one
  --out DIR            where the report goes
  --help               this text

Results: bench/results/<date>/report.json, report.md and plots; a second run of a day has <date>-2. Load runs on loopback and ends with the run.

${known.map(({ name, rows }) => `  ${name.padEnd(12)} ${rows.map(({ id }) => id).join(', ')}`).join('\n')}
`

/**
 * @param known names that `--only` and the old form `bench sockets` may have.
 * @throws UsageError
 */
export const readOptions = (args: string[], known: readonly string[]): Options | 'help' => {
  const { values, positionals } = parse(args)
  if (values.help) return 'help'
  const [first, ...rest] = positionals
  const command = first === 'claims' || first === 'plots' ? first : 'measure'
  const named = command === 'measure' ? positionals : rest
  const only = [...named, ...(values.only ?? '').split(',')].map((name) => name.trim()).filter(Boolean)
  const unknown = only.filter((name) => !known.includes(name))
  if (unknown.length > 0) throw new UsageError(`no row or section named ${unknown.join(', ')}`)
  const rounds = values.rounds === undefined ? null : Number(values.rounds)
  if (rounds !== null && !(Number.isInteger(rounds) && rounds >= 1 && rounds <= 100))
    throw new UsageError('--rounds takes a number from 1 to 100')
  if (values.against !== undefined && !URL.canParse(values.against))
    throw new UsageError('--against takes a URL such as https://tasks.example.com')
  if ((values.against === undefined) !== (values.token === undefined))
    throw new UsageError('--against and --token belong together')
  if (values.writes && values.against === undefined) throw new UsageError('--writes belongs to --against')
  return {
    command,
    only,
    isQuick: values.quick,
    rounds,
    hasCurves: values.curves,
    against:
      values.against === undefined
        ? null
        : { url: new URL(values.against).origin, token: values.token!, mayWrite: values.writes },
    writes: values.write,
    from: values.from ?? null,
    out: values.out ?? null,
  }
}

const parse = (args: string[]) => {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        only: { type: 'string' },
        rounds: { type: 'string' },
        quick: { type: 'boolean', default: false },
        curves: { type: 'boolean', default: false },
        against: { type: 'string' },
        token: { type: 'string' },
        writes: { type: 'boolean', default: false },
        write: { type: 'boolean', default: false },
        from: { type: 'string' },
        out: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    })
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}
