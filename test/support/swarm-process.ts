// The process of a swarm: carries out the commands it receives over IPC and reports what its sockets received.
import type { Seat, SwarmCommand, SwarmMessage, SwarmReport } from './swarm.ts'
import { SwarmSocket } from './swarm-socket.ts'
import { Tally } from './swarm-tally.ts'

const pingEveryMs = 10_000

let urls: URL[] = []
let seats: Seat[] = []
const sockets: SwarmSocket[] = []
const tally = new Tally()

const openMore = async (count: number, atOnce: number): Promise<void> => {
  let left = count
  const openNext = async (): Promise<void> => {
    while (left > 0) {
      left -= 1
      const client = new SwarmSocket(seats[sockets.length % seats.length]!, urls, tally)
      sockets.push(client)
      await client.open()
    }
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, openNext))
}

const carryOut = async (command: SwarmCommand): Promise<SwarmReport | null> => {
  if (command.do === 'report') return tally.report(sockets)
  switch (command.do) {
    case 'open':
      await openMore(command.count, command.atOnce)
      break
    case 'pause':
      for (const client of sockets.slice(0, command.count)) client.pause()
      break
    case 'resume':
      for (const client of sockets.filter(({ isPaused }) => isPaused).slice(0, command.count)) client.resume()
      break
    case 'forget':
      tally.forget(command.traces)
      break
    case 'cut':
      cutting.everyMs = command.everyMs
      cutting.awayMs = command.awayMs
      break
    case 'close':
      for (const client of sockets.splice(0, command.count)) client.close()
  }
  return null
}

/** Each socket is cut with the same probability at each tick: exponential times, as networks fail. */
const cutting: { everyMs: number | null; awayMs: number } = { everyMs: null, awayMs: 0 }
const cutTickMs = 50

setInterval(() => {
  const { everyMs, awayMs } = cutting
  if (everyMs === null) return
  for (const client of sockets) if (Math.random() < cutTickMs / everyMs) client.cut(awayMs)
}, cutTickMs)

setInterval(() => {
  for (const client of sockets) client.ping()
}, pingEveryMs)

process.on('message', (message: SwarmMessage) => {
  if ('urls' in message) {
    urls = message.urls.map((url) => new URL(url))
    seats = message.seats
  } else void carryOut(message.command).then((report) => process.send!({ id: message.id, report }))
})
process.on('disconnect', () => process.exit())
