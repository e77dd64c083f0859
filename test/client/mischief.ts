// A network with random faults: event frames arrive twice, late and out of order, connections end without a close
// frame, requests are lost before or after the server processed them.
import type { Fetch } from '../../packages/client/src/http/request.ts'
import type { Socket } from '../../packages/client/src/connection/socket-transport.ts'

export class Mischief {
  isOffline = false
  /** No more connections are cut within events: a long replay that is cut each time never ends. */
  isCalm = false
  counts = { repeated: 0, reordered: 0, torn: 0, killed: 0, lostRequests: 0, lostAnswers: 0 }
  readonly #sockets = new Set<WebSocket>()

  constructor(private readonly random: () => number) {
    const open = (url: string, protocols: string[]): Socket => this.#open(url, protocols)
    // `new` returns the object that the construct trap returns.
    this.WebSocket = new Proxy(WebSocket, {
      construct: (_, [url, protocols]: [string, string[]]) => open(url, protocols),
    })
  }

  /** Ends every socket without a close frame. */
  kill(): void {
    for (const socket of this.#sockets) {
      this.counts.killed += 1
      // Only Bun has it.
      ;(socket as unknown as { terminate(): void }).terminate()
    }
  }

  readonly fetch: Fetch = async (url, init) => {
    const isPoll = url.includes('/api/sync')
    if (this.isOffline || (!isPoll && this.random() < 0.03)) {
      this.counts.lostRequests += 1
      throw new TypeError('mischief: the request was not sent')
    }
    const response = await fetch(url, init)
    const body = await response.arrayBuffer()
    if (this.isOffline || (!isPoll && this.random() < 0.03)) {
      this.counts.lostAnswers += 1
      throw new TypeError('mischief: the response was lost')
    }
    return new Response(response.status === 204 ? null : body, response)
  }

  /** The WebSocket constructor for a client. */
  readonly WebSocket: new (url: string, protocols: string[]) => Socket

  #open(url: string, protocols: string[]): Socket {
    const socket = new WebSocket(this.isOffline ? 'ws://127.0.0.1:1/' : url, protocols)
    this.#sockets.add(socket)
    socket.addEventListener('close', () => this.#sockets.delete(socket))
    socket.addEventListener('error', () => {})
    const add = (type: string, listener: (event: any) => void): void =>
      socket.addEventListener(type, listener)
    return {
      get readyState() {
        return socket.readyState
      },
      send: (text) => socket.send(text),
      close: (code, reason) => socket.close(code, reason),
      addEventListener: (type: string, listener: (event: any) => void) =>
        add(type, type === 'message' ? this.#disturbed(listener, socket) : listener),
    }
  }

  /** Disturbs events only, and never across another frame: those confirm the events before them. */
  #disturbed(
    listener: (event: { data: unknown }) => void,
    socket: WebSocket,
  ): (event: { data: unknown }) => void {
    const past: { data: unknown }[] = []
    let held: { data: unknown }[] = []
    let isTorn = false
    const flush = (): void => {
      const frames = held
      held = []
      if (frames.length > 1) this.counts.reordered += 1
      while (frames.length > 0) listener(frames.splice(Math.floor(this.random() * frames.length), 1)[0]!)
    }
    return (event) => {
      if (isTorn) return // frames still buffered for an ended connection
      if (!String(event.data).startsWith('{"t":"event"')) {
        flush()
        return listener(event)
      }
      past.push(event)
      held.push(event)
      if (this.random() < 0.3) {
        held.push(past[Math.floor(this.random() * past.length)]!)
        this.counts.repeated += 1
      }
      if (past.length > 50) past.shift()
      if (!this.isCalm && held.length > 2 && this.random() < 0.15) {
        // The newest event arrives, those before it are lost.
        this.counts.torn += 1
        held = []
        isTorn = true
        listener(event)
        ;(socket as unknown as { terminate(): void }).terminate()
        return
      }
      if (this.random() < 0.5) flush()
      else setTimeout(flush, this.random() * 20)
    }
  }
}
