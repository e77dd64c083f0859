// Metrics of several server processes as one. A parent asks its processes over IPC and adds up what they answer; a process
// that is asked on the shared port asks its parent. Invariants: every question has a deadline; what a process that ended
// had counted stays in the sums, or the counters of all would seem to begin again.
import { withTimeout } from '../async/timeout.ts'
import { unavailable } from '../errors.ts'
import { aggregated, added, countersIn, type Exposition, type MetricsJson } from '../metrics/exposition.ts'

/** From a parent to a process: a question, the answer to one, or that it has announced itself (`roles.ts`). */
export type ToProcess = { ask: number } | { all: { id: number; text: string } } | { announced: true }

/** From a process to its parent. */
export type FromProcess = { metrics: { id: number; json: MetricsJson } } | { askAll: number }

const answerTimeoutMs = 2_000

/** Questions to another process that wait for their answer. */
export class Questions<T> {
  readonly #waiting = new Map<number, (answer: T) => void>()
  #asked = 0

  /** @throws AppError `unavailable` without an answer in time. */
  async ask(send: (id: number) => void): Promise<T> {
    const id = (this.#asked += 1)
    const { promise, resolve } = Promise.withResolvers<T>()
    this.#waiting.set(id, resolve)
    try {
      send(id)
      return await withTimeout(answerTimeoutMs, 'the metrics of another process', promise, unavailable)
    } finally {
      this.#waiting.delete(id)
    }
  }

  answer(id: number, value: T): void {
    this.#waiting.get(id)?.(value)
  }
}

/** In a server process: answers the parent. @returns what asks it for the metrics of all. */
export const connectToParent = (own: Pick<Exposition, 'json'>): (() => Promise<string>) => {
  const questions = new Questions<string>()
  const send = (message: FromProcess): void => void process.send?.(message)
  process.on('message', (message: ToProcess) => {
    if ('all' in message) questions.answer(message.all.id, message.all.text)
    else if ('ask' in message) void own.json().then((json) => send({ metrics: { id: message.ask, json } }))
  })
  return () => questions.ask((id) => send({ askAll: id }))
}

/** In the parent: the metrics of its processes. */
export class MetricsOfProcesses {
  /** The last answer of each process that runs. */
  readonly #last = new Map<number, MetricsJson>()
  #ended: MetricsJson = []

  /** @param askEach asks every process that runs, by its number; null: it did not answer in time. */
  constructor(private readonly askEach: () => [number: number, answer: Promise<MetricsJson | null>][]) {}

  async text(): Promise<string> {
    const answers = this.askEach().map(async ([number, answer]): Promise<MetricsJson> => {
      const json = await answer
      if (json) this.#last.set(number, json)
      return json ?? countersIn(this.#last.get(number) ?? [])
    })
    return aggregated([this.#ended, ...(await Promise.all(answers))])
  }

  /** The process ended: another one with its number begins to count at 0. */
  async end(number: number): Promise<void> {
    const last = this.#last.get(number)
    this.#last.delete(number)
    if (last) this.#ended = await added([this.#ended, countersIn(last)])
  }
}
